# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""stunnel and socat, each end its own process under tlsulp, in front of plain programs."""
import socket
import subprocess

import pytest

from support import (
    TIMEOUT, Feeder, Reader, both_versions, curl_download, expect_carried, expect_idle, free_port,
    openssl_config, rx_keys, transfer)


def start_stunnel(launcher, version, name, service):
    config = launcher.directory / f"{name}.conf"
    config.write_text(f"""foreground = yes
pid =
syslog = no
debug = warning
[{name}]
{service}
""")
    return launcher.start("stunnel", config, ulp=True,
                          env={"OPENSSL_CONF": openssl_config(launcher.directory, version)})


@pytest.fixture
def stunnels(launcher, certificate):
    """A function that starts client -> TLS -> server -> our listener; also how to connect."""
    def start(version):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            tls_port, plain_port = free_port(), free_port()
            server = start_stunnel(launcher, version, "server", f"""accept = 127.0.0.1:{tls_port}
connect = 127.0.0.1:{listener.getsockname()[1]}
cert = {certificate.cert}
key = {certificate.key}""").wait_for_port(tls_port)
            client = start_stunnel(launcher, version, "client", f"""client = yes
accept = 127.0.0.1:{plain_port}
connect = 127.0.0.1:{tls_port}
CAfile = {certificate.cert}
verifyChain = yes""").wait_for_port(plain_port)
            near = socket.create_connection(("127.0.0.1", plain_port), timeout=TIMEOUT)
            listener.settimeout(TIMEOUT)
            far = listener.accept()[0]
            far.settimeout(TIMEOUT)
        return server, client, near, far

    return start


@both_versions
def test_stunnel(payload, stunnels, version):
    server, client, near, far = stunnels(version)
    with near, far, near.makefile("rwb") as near_file, far.makefile("rwb") as far_file:
        transfer(payload, near_file, far_file)
        transfer(payload, far_file, near_file)
        received = payload.size if version == "1.2" else 0
        for end in (server, client):
            expect_carried(end, tx=1, rx=rx_keys(version), sent=payload.size, received=received)
    expect_idle(server)
    expect_idle(client)


def test_stunnel_both_ways_at_once(payload, stunnels):
    server, client, near, far = stunnels("1.2")
    with near, far, near.makefile("rwb") as near_file, far.makefile("rwb") as far_file:
        other_way = Feeder(payload.path, far_file)
        reader = Reader(payload, near_file)
        transfer(payload, near_file, far_file)
        other_way.finish()
        reader.finish()
        for end in (server, client):
            expect_carried(end, tx=1, rx=1, sent=payload.size, received=payload.size)


# socat

def socat(launcher, *arguments, version):
    return launcher.start("socat", "-b", "65536", *arguments, ulp=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE,
                          env={"OPENSSL_CONF": openssl_config(launcher.directory, version)})


@both_versions
def test_socat(launcher, certificate, payload, version):
    port = free_port()
    server = socat(launcher, "-", f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,verify=0,"
                   f"cert={certificate.cert},key={certificate.key}", version=version)
    server.wait_for_port(port)
    client = socat(launcher, "-", f"OPENSSL:127.0.0.1:{port},cafile={certificate.cert}",
                   version=version)
    transfer(payload, client.popen.stdin, server.popen.stdout)
    transfer(payload, server.popen.stdin, client.popen.stdout)
    received = payload.size if version == "1.2" else 0
    for end in (server, client):
        expect_carried(end, tx=1, rx=rx_keys(version), sent=payload.size, received=received)
    # The end of the client's input goes through as close_notify, and both end well.
    client.popen.stdin.close()
    assert server.popen.stdout.read() == b""
    client.expect_exit(0)
    server.expect_exit(0)


def test_socat_forks_for_each_connection(launcher, certificate, payload):
    """The child serves the connection, the parent closes it: one session, two processes."""
    port = free_port()
    answer = launcher.directory / "answer.sh"
    answer.write_text("read line; printf 'HTTP/1.0 200 OK\\r\\n\\r\\n'\n"
                      f"cat {payload.path}\nwhile read -r line; do :; done\n")
    server = socat(launcher, f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,verify=0,fork,"
                   f"cert={certificate.cert},key={certificate.key}",
                   f"EXEC:sh {answer}", version="1.2")
    server.wait_for_port(port)
    downloads = [curl_download(launcher, certificate, "1.2", f"https://127.0.0.1:{port}/",
                               payload.size, "--no-buffer") for _ in range(3)]
    for download in downloads:
        download.receive_most()
    expect_carried(server, tx=3, rx=3, sent=3 * payload.size)
    for download in downloads:
        download.receive(download.left)
        assert download.hasher.hexdigest() == payload.digest
        download.program.stop()
    expect_idle(server)
