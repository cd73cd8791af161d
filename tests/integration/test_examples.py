# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Each example does what its first lines say, under `tlsulp run`."""

import hashlib
import os
import re
import subprocess

import pytest


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("cert")
    cert, key = str(path / "cert.pem"), str(path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-days", "2", "-keyout", key, "-out", cert],
        check=True, stderr=subprocess.DEVNULL,
    )
    return cert, key


def example(build, name):
    return str(build / "examples" / name)


def run(tlsulp, *command):
    return subprocess.run(
        [str(tlsulp), "run", "--mode", "user", "--stat", "--", *command],
        capture_output=True, text=True, timeout=60,
    )


def counter(stderr, name):
    return int(re.search(rf"^{name}\s+(\d+)", stderr, re.M).group(1))


def test_hello(build, tlsulp):
    done = run(tlsulp, example(build, "hello"))
    assert (done.returncode, done.stdout) == (0, "hello world\n")
    assert counter(done.stderr, "TlsTxSw") == counter(done.stderr, "TlsRxSw") == 1


def test_hello_without_the_ulp_says_what_to_do(build):
    done = subprocess.run([example(build, "hello")], capture_output=True, text=True, timeout=60)
    if done.returncode == 0:
        pytest.skip("this kernel has the TLS ULP")
    assert "tlsulp run" in done.stderr


def test_control_message_both_ways(build, tlsulp):
    done = run(tlsulp, example(build, "control_message"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "server got a record of type 23, 4 bytes",
        "server got a record of type 21, 2 bytes",
        "client got a record of type 23, 4 bytes",
        "client got a record of type 21, 2 bytes",
    ]
    assert counter(done.stderr, "TlsTxSw") == counter(done.stderr, "TlsRxSw") == 2


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_sendfile(build, tlsulp, certificate, tmp_path, version):
    data = os.urandom(8 << 20)
    (tmp_path / "data").write_bytes(data)
    server = subprocess.Popen(
        [str(tlsulp), "run", "--mode", "user", "--stat", "--", example(build, "openssl_sendfile"),
         *certificate, str(tmp_path / "data")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        port = int(server.stdout.readline())
        client = subprocess.run(
            ["openssl", "s_client", "-quiet", version, "-connect", f"127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        )
        _, stderr = server.communicate(timeout=60)
    finally:
        server.kill()
    assert hashlib.sha256(client.stdout).digest() == hashlib.sha256(data).digest()
    assert server.returncode == 0, stderr
    assert counter(stderr, "TlsTxSw") == 1


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_gnutls_send(build, tlsulp, certificate, version):
    cert, key = certificate
    server = subprocess.Popen(
        ["openssl", "s_server", "-quiet", "-accept", "127.0.0.1:0", version, "-naccept", "1",
         "-cert", cert, "-key", key],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    try:
        port = listening_port(server.pid)
        done = run(tlsulp, example(build, "gnutls_send"), str(port))
        assert done.returncode == 0, done.stderr
        assert counter(done.stderr, "TlsTxSw") == 1
        assert server.communicate(timeout=60)[0] == b"hello from send(), sealed by the TLS ULP\n"
    finally:
        server.kill()


def listening_port(pid):
    """The port of the one listening socket of @pid (s_server -quiet does not tell)."""
    for _ in range(300):
        out = subprocess.run(["ss", "-ltnHp"], capture_output=True, text=True, check=True).stdout
        found = re.search(rf"127\.0\.0\.1:(\d+) .*pid={pid},", out)
        if found:
            return int(found.group(1))
    raise AssertionError("openssl s_server does not listen")
