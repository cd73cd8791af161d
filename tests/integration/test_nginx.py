# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Debian's nginx, unmodified, with `ssl_conf_command Options KTLS`."""
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest

from support import (
    CIPHERS, TIMEOUT, Download, both_versions, curl_cipher, curl_command, curl_download,
    digest_of, expect_carried, expect_idle, free_port, nginx_config, nginx_tls, rx_keys,
    start_nginx, wait_until)


@pytest.fixture
def port():
    return free_port()


def static_server(certificate, payload, port, more="", **options):
    return f"""server {{
        {nginx_tls(certificate, port, **options)}
        root {payload.path.parent};
        {more}
    }}"""


def url(port, path="payload"):
    return f"https://127.0.0.1:{port}/{path}"


def connect(certificate, port, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=str(certificate.cert))
    context.minimum_version = context.maximum_version = version
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=TIMEOUT)
    connection.connect()
    return connection


def get(connection, path, **headers):
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status in (200, 206), f"{response.status} for {path}"
    return body


# Static files

@pytest.mark.parametrize(
    "version, cipher", [(v, name) for v in CIPHERS for name in CIPHERS[v]])
def test_static_file_by_sendfile(launcher, certificate, payload, directory, port, version, cipher):
    choice = (f"ssl_ciphers {cipher}:@SECLEVEL=1;" if version == "1.2"
              else f"ssl_conf_command Ciphersuites {cipher};")
    config = nginx_config(directory, static_server(certificate, payload, port, choice))
    nginx = start_nginx(launcher, config, port)
    download = curl_download(launcher, certificate, version, url(port), payload.size,
                             *curl_cipher(version, cipher)).receive_most()
    tree = expect_carried(nginx, tx=1, rx=rx_keys(version), sent=payload.size)
    line, = tree["connections"]
    assert (line["version"], line["cipher"]) == (version, CIPHERS[version][cipher])
    assert download.finish() == payload.digest
    expect_idle(nginx)
    assert nginx.stop(signal.SIGQUIT) == 0


def start_daemon(launcher, directory, config, program="nginx"):
    """nginx in the background, and its file with the pid."""
    nginx = launcher.start(program, "-e", "stderr", "-p", directory, "-c", config, ulp=True)
    nginx.expect_exit(0)
    pid_file = directory / "nginx-0" / "pid"
    nginx.pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), "a pid file"))
    launcher.adopt_group(nginx.pid)
    return nginx, pid_file


def serves_and_ends(launcher, certificate, payload, port, version, nginx, pid_file):
    download = curl_download(launcher, certificate, version, url(port), payload.size)
    download.receive_most()
    expect_carried(nginx, tx=1, rx=rx_keys(version), sent=payload.size)
    assert download.finish() == payload.digest
    os.kill(nginx.pid, signal.SIGQUIT)
    wait_until(lambda: not pid_file.exists(), "the daemon's end")


@both_versions
def test_as_a_daemon(launcher, certificate, payload, directory, port, version):
    config = nginx_config(directory, static_server(certificate, payload, port), workers=2,
                          daemon=True)
    nginx, pid_file = start_daemon(launcher, directory, config)
    serves_and_ends(launcher, certificate, payload, port, version, nginx, pid_file)
    assert "[alert]" not in (directory / "nginx-0" / "error.log").read_text()


@pytest.mark.skipif("TLSULP_SANITIZER" in os.environ, reason="its options are in the environment")
@both_versions
def test_upgraded(launcher, certificate, payload, directory, port, version):
    """USR2: nginx runs its new version with an environment of its own."""
    config = nginx_config(directory, static_server(certificate, payload, port), daemon=True)
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    nginx, pid_file = start_daemon(launcher, directory, config, program)
    old = nginx.pid
    wait_until(lambda: workers_of(nginx), "a worker")  # from then on it hears signals
    os.kill(old, signal.SIGUSR2)

    def new_pid():
        return (pid_file.exists() and pid_file.read_text().strip() not in ("", str(old))
                and int(pid_file.read_text()))

    nginx.pid = wait_until(new_pid, "the new version")
    launcher.adopt_group(nginx.pid)
    wait_until(lambda: workers_of(nginx), "a worker of the new version")
    os.kill(old, signal.SIGQUIT)
    wait_until(lambda: not pathlib.Path(f"/proc/{old}/task/{old}/children").exists()
               or not pathlib.Path(f"/proc/{old}/cmdline").read_bytes(), "the old version's end")
    serves_and_ends(launcher, certificate, payload, port, version, nginx, pid_file)


def test_gnutls_cli_as_the_peer(launcher, certificate, sample, directory, port):
    config = nginx_config(directory, static_server(certificate, sample, port))
    nginx = start_nginx(launcher, config, port)
    client = launcher.start(
        "gnutls-cli", "--logfile", directory / "cli.log", "--x509cafile", certificate.cert,
        "--port", port, "localhost", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    client.popen.stdin.write(b"GET /sample HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    client.popen.stdin.flush()
    header = b""
    while not header.endswith(b"\r\n\r\n"):
        header += client.popen.stdout.read(1)
    assert b" 200 OK" in header
    download = Download(client, sample.size, held=0).receive_most()
    expect_carried(nginx, tx=1, rx=0, sent=sample.size)
    assert download.hasher.hexdigest() == sample.digest
    # gnutls-cli ends when the server does, so ask for a second answer and the end.
    client.popen.stdin.write(b"HEAD /sample HTTP/1.0\r\n\r\n")
    client.popen.stdin.close()
    assert b" 200 OK" in client.popen.stdout.read()
    client.expect_exit(0)
    expect_idle(nginx)


# The check itself

@pytest.mark.parametrize("broken", ["no tlsulp", "no kTLS"])
def test_check_fails_without_the_ulp(launcher, certificate, payload, directory, port, broken):
    ktls = broken != "no kTLS"
    config = nginx_config(directory, static_server(certificate, payload, port, ktls=ktls))
    nginx = start_nginx(launcher, config, port, ulp=broken != "no tlsulp")
    download = curl_download(launcher, certificate, "1.2", url(port), payload.size)
    download.receive_most()
    with pytest.raises(AssertionError):
        expect_carried(nginx, tx=1, rx=1, sent=payload.size, patience=0.5)
    with pytest.raises(AssertionError):
        expect_carried(nginx, tx=1, rx=0, patience=0)
    assert download.finish() == payload.digest


# Reverse proxy and upload

@pytest.fixture
def proxy(launcher, certificate, payload, directory, port):
    """A function that starts a proxy in front of a static server, both under tlsulp, with the
    given TLS version between them; keep-alive there, so that the connection can be seen."""
    def start(version):
        back_port = free_port()
        (directory / "uploads").mkdir()
        if os.geteuid() == 0:
            shutil.chown(directory / "uploads", "www-data")
        back = start_nginx(launcher, nginx_config(directory, static_server(
            certificate, payload, back_port,
            f"location /up/ {{ alias {directory}/uploads/; dav_methods PUT; }}")), back_port)
        front = start_nginx(launcher, nginx_config(directory, f"""
            upstream back {{ server 127.0.0.1:{back_port}; keepalive 4; }}
            server {{
                {nginx_tls(certificate, port)}
                location / {{
                    proxy_pass https://back;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_request_buffering off;
                    proxy_ssl_protocols TLSv{version};
                    proxy_ssl_conf_command Options KTLS;
                    proxy_ssl_verify on;
                    proxy_ssl_name localhost;
                    proxy_ssl_trusted_certificate {certificate.cert};
                }}
            }}"""), port)
        return front, back

    return start


@both_versions
def test_reverse_proxy(launcher, certificate, payload, port, proxy, version):
    front, back = proxy(version)
    download = curl_download(launcher, certificate, version, url(port), payload.size)
    download.receive_most()
    expect_carried(back, tx=1, rx=rx_keys(version), sent=payload.size)
    # One connection to curl, one to the back; those to the back are received by the ULP in 1.2.
    expect_carried(front, tx=2, rx=rx_keys(version, 2), sent=payload.size,
                   received=payload.size if version == "1.2" else 0)
    assert download.finish() == payload.digest


def upload(launcher, certificate, payload, version, port, seen):
    """Everything but the last byte; then seen() while the connection is open; then that byte."""
    data = payload.path.read_bytes()
    curl = launcher.start(*curl_command(certificate, version, "-T", "-", url(port, "up/got")),
                          stdin=subprocess.PIPE)
    curl.popen.stdin.write(data[:-1])
    curl.popen.stdin.flush()
    seen()
    curl.popen.stdin.write(data[-1:])
    curl.popen.stdin.close()
    curl.expect_exit(0)


NEARLY = 1 << 20  # what may still be in pipes and in the programs' own buffers


@both_versions
def test_upload(launcher, certificate, payload, directory, port, version):
    uploads = directory / "uploads"
    uploads.mkdir()
    if os.geteuid() == 0:
        shutil.chown(uploads, "www-data")
    config = nginx_config(directory, static_server(
        certificate, payload, port,
        f"location /up/ {{ alias {uploads}/; dav_methods PUT; }}"))
    nginx = start_nginx(launcher, config, port)
    expected = payload.size - NEARLY if version == "1.2" else 0
    upload(launcher, certificate, payload, version, port,
           lambda: expect_carried(nginx, tx=1, rx=rx_keys(version), received=expected))
    assert digest_of(uploads / "got") == payload.digest
    expect_idle(nginx)


def test_upload_through_the_proxy(launcher, certificate, payload, directory, port, proxy):
    front, back = proxy("1.2")
    least = payload.size - NEARLY

    def seen():
        expect_carried(front, tx=2, rx=2, sent=least, received=least)
        expect_carried(back, tx=1, rx=1, received=least)

    upload(launcher, certificate, payload, "1.2", port, seen)
    assert digest_of(directory / "uploads" / "got") == payload.digest


# Many requests, connections and workers

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_keep_alive(launcher, certificate, payload, directory, port, version):
    config = nginx_config(directory, static_server(certificate, payload, port))
    nginx = start_nginx(launcher, config, port)
    data = payload.path.read_bytes()
    connection = connect(certificate, port, version)
    total = 0
    for i in range(500):
        first, length = i * 7919, 1 + i * i % 70000
        body = get(connection, "/payload", Range=f"bytes={first}-{first + length - 1}")
        assert body == data[first:first + length]
        total += length
    rx = 1 if version == ssl.TLSVersion.TLSv1_2 else 0
    expect_carried(nginx, tx=1, rx=rx, sent=total, received=500 * 50 * rx)
    connection.close()
    expect_idle(nginx)


@both_versions
def test_http2(launcher, certificate, payload, directory, port, version):
    config = nginx_config(directory, static_server(certificate, payload, port, listen="http2"))
    nginx = start_nginx(launcher, config, port)
    download = curl_download(launcher, certificate, version, url(port), payload.size, "--http2")
    download.receive_most()
    expect_carried(nginx, tx=1, rx=rx_keys(version), sent=payload.size)
    assert download.finish() == payload.digest


def test_http2_streams_side_by_side(launcher, certificate, payload, directory, port):
    config = nginx_config(directory, static_server(certificate, payload, port, listen="http2"))
    nginx = start_nginx(launcher, config, port)
    got = [directory / f"got-{i}" for i in range(8)]
    targets = [word for path in got for word in ("-o", path, url(port))]
    curl = launcher.start(
        *curl_command(certificate, "1.2", "--http2", "--parallel", "--range", "0-9999999"),
        "--write-out", "%{http_version} %{num_connects}\n", *targets, stdout=subprocess.PIPE)
    answers = curl.popen.stdout.read().decode().splitlines()
    curl.expect_exit(0)
    assert len(answers) == 8 and all(line.startswith("2 ") for line in answers)
    connects = sum(int(line.split()[1]) for line in answers)
    expect_carried(nginx, tx=connects, rx=connects)
    part = hashlib.sha256(payload.path.read_bytes()[:10000000]).hexdigest()
    assert {digest_of(path) for path in got} == {part}


def test_two_workers(launcher, certificate, payload, directory, port):
    config = nginx_config(directory, static_server(certificate, payload, port,
                                                   listen="reuseport"), workers=2)
    nginx = start_nginx(launcher, config, port)
    connections = [connect(certificate, port, ssl.TLSVersion.TLSv1_2) for _ in range(40)]
    for connection in connections:
        assert len(get(connection, "/payload", Range="bytes=0-99999")) == 100000
    tree = expect_carried(nginx, tx=40, rx=40, sent=40 * 100000)
    owners = {line["pid"] for line in tree["connections"]}
    assert len(tree["connections"]) == 40 and len(owners) == 2 and nginx.pid not in owners
    assert all(line["tx_bytes"] >= 100000 for line in tree["connections"])
    for connection in connections:
        connection.close()
    expect_idle(nginx)


class Load(threading.Thread):
    """Requests, each with a connection of its own, until stopped."""

    def __init__(self, certificate, port, expected):
        super().__init__(daemon=True)
        self.certificate, self.port, self.expected = certificate, port, expected
        self.done, self.failure, self.stopped = 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.stopped.is_set():
                connection = connect(self.certificate, self.port)
                last = len(self.expected) - 1
                body = get(connection, "/payload", Range=f"bytes=0-{last}", Connection="close")
                assert body == self.expected, "a wrong answer"
                connection.close()
                self.done += 1
        except BaseException as error:  # reported by the test
            self.failure = error


def workers_of(nginx):
    children = pathlib.Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text()
    return set(children.split())


@pytest.mark.parametrize("how", ["signal", "nginx -s reload"])
def test_reload_under_load(launcher, certificate, payload, directory, port, how):
    config = nginx_config(directory, static_server(certificate, payload, port), workers=2)
    nginx = start_nginx(launcher, config, port)
    download = curl_download(launcher, certificate, "1.2", url(port), payload.size)
    download.receive(payload.size // 4)
    expect_carried(nginx, tx=1, rx=1, sent=payload.size // 4)
    with open(payload.path, "rb") as file:
        part = file.read(300000)
    loads = [Load(certificate, port, part) for _ in range(4)]
    try:
        for _ in range(4):
            seen = [load.done for load in loads]
            before = workers_of(nginx)
            if how == "signal":
                nginx.popen.send_signal(signal.SIGHUP)
            else:
                reload = launcher.start("nginx", "-e", "stderr", "-p", directory, "-c", config,
                                        "-s", "reload", ulp=True)
                reload.expect_exit(0)
            wait_until(lambda: len(workers_of(nginx) - before) == 2, "new workers")
            wait_until(lambda: all(load.failure or load.done > n + 5
                                   for load, n in zip(loads, seen)), "requests after the reload")
    finally:
        for load in loads:
            load.stopped.set()
        for load in loads:
            load.join(TIMEOUT)
    assert [load.failure for load in loads] == [None] * 4
    # An old worker still serves the download that began before the first reload. (When it has
    # sent all, it ends, so this looks while it still sends.)
    download.receive(payload.size // 4)
    requests = sum(load.done for load in loads)
    expect_carried(nginx, tx=requests + 1, rx=1, sent=payload.size // 2)
    assert download.finish() == payload.digest
    expect_idle(nginx)


@pytest.mark.parametrize("size", [1000, 100000])
def test_wrk(launcher, certificate, payload, directory, port, size):
    document = payload.path.parent / f"part-{size}"
    with open(payload.path, "rb") as file:
        document.write_bytes(file.read(size))
    config = nginx_config(directory, static_server(certificate, payload, port), workers=2)
    nginx = start_nginx(launcher, config, port)
    wrk = launcher.start("wrk", "-c100", "-d300s", "-t2", "--timeout",
                         "60s", url(port, document.name), stdout=subprocess.PIPE)
    wait_until(lambda: len(nginx.connections()) >= 100, "100 connections")
    time.sleep(2)
    wrk.popen.send_signal(signal.SIGINT)  # it ends, and reports
    report = wrk.popen.stdout.read().decode()
    wrk.expect_exit(0)
    assert "Socket errors" not in report and "Non-2xx" not in report, report
    assert int(re.search(r"(\d+) requests in", report)[1]) > 100, report
    # wrk opens no others: a hundred keys each way but those of TLS 1.3's receive side.
    expect_carried(nginx, tx=100, rx=0)
    expect_idle(nginx)
