# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A GnuTLS program that takes its keys with gnutls_record_get_state() (progs/gnutls_keys.c).
It hands over both directions in TLS 1.3 too, where OpenSSL 3.0 does not."""
import hashlib
import subprocess

import pytest

from support import (
    PIPES, PROGS, Reader, both_versions, expect_carried, free_port, transfer)

CIPHERS = {"AES-128-GCM": "AES-GCM-128", "AES-256-GCM": "AES-GCM-256",
           "AES-128-CCM": "AES-CCM-128", "CHACHA20-POLY1305": "CHACHA20-POLY1305"}


def priorities(version, *ciphers):
    return ":".join(["NORMAL:-VERS-ALL", f"+VERS-TLS{version}", "-CIPHER-ALL"]
                    + [f"+{name}" for name in ciphers or CIPHERS])


@pytest.fixture(scope="session")
def program(shared_directory):
    path = shared_directory / "gnutls_keys"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", path,
                    PROGS / "gnutls_keys.c", "-lgnutls"], check=True)
    return path


@pytest.fixture(scope="session")
def text(shared_directory, payload):
    """gnutls-cli reads lines."""
    path = shared_directory / "text"
    with open(payload.path, "rb") as file, open(path, "wb") as out:
        subprocess.run(["base64", "-w", "4000"], stdin=file, stdout=out, check=True)
    data = path.read_bytes()
    return type(payload)(path, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("cipher", CIPHERS)
@both_versions
def test_both_ends(launcher, certificate, payload, program, version, cipher):
    port = free_port()
    server = launcher.start(program, "server", port, priorities(version, cipher), payload.path,
                            payload.size, certificate.cert, certificate.key, ulp=True,
                            **PIPES).wait_for_port(port)
    client = launcher.start(program, "client", port, priorities(version, cipher), payload.path,
                            payload.size, ulp=True, **PIPES)
    readers = [Reader(payload, end.popen.stdout) for end in (client, server)]
    for reader in readers:
        reader.finish()
    for end in (server, client):
        tree = expect_carried(end, tx=1, rx=1, sent=payload.size, received=payload.size)
        line, = tree["connections"]
        assert (line["version"], line["cipher"]) == (version, CIPHERS[cipher])
    for end in (client, server):
        end.popen.stdin.close()
        end.expect_exit(0)
        assert end.errors() == ""


@both_versions
def test_openssl_server_as_the_peer(launcher, certificate, payload, program, version):
    """With TLS 1.3 the server's session tickets come before the data. (Without -nbio, s_server
    may wait for a record that does not come, while it has data to send.)"""
    port = free_port()
    server = launcher.start("openssl", "s_server", "-quiet", "-nbio", "-accept", port, "-cert",
                            certificate.cert, "-key", certificate.key, **PIPES)
    server.wait_for_port(port)
    client = launcher.start(program, "client", port, priorities(version), payload.path,
                            payload.size, ulp=True, **PIPES)
    transfer(payload, server.popen.stdin, client.popen.stdout)
    Reader(payload, server.popen.stdout).finish()
    expect_carried(client, tx=1, rx=1, sent=payload.size, received=payload.size)
    client.popen.stdin.close()
    client.expect_exit(0)
    tickets = "a record of type 22\n" * 2 if version == "1.3" else ""
    assert client.errors() == tickets


@both_versions
def test_gnutls_cli_as_the_peer(launcher, certificate, sample, text, program, version):
    port = free_port()
    server = launcher.start(program, "server", port, priorities(version), sample.path, text.size,
                            certificate.cert, certificate.key, ulp=True, **PIPES)
    server.wait_for_port(port)
    client = launcher.start(
        "gnutls-cli", "--logfile", launcher.directory / "cli.log", "--x509cafile",
        certificate.cert, "--port", port, "localhost", **PIPES)
    Reader(sample, client.popen.stdout).finish()
    transfer(text, client.popen.stdin, server.popen.stdout)
    expect_carried(server, tx=1, rx=1, sent=sample.size, received=text.size)
    server.popen.stdin.close()
    server.expect_exit(0)
    assert client.popen.stdout.read() == b""
    client.expect_exit(0)


def test_refused_without_the_ulp(launcher, certificate, payload, program):
    """The negative control: this program has no fallback."""
    port = free_port()
    server = launcher.start("openssl", "s_server", "-quiet", "-accept", port, "-cert",
                            certificate.cert, "-key", certificate.key, **PIPES)
    server.wait_for_port(port)
    client = launcher.start(program, "client", port, priorities("1.2"), payload.path, 0, **PIPES)
    client.expect_exit(1)
    assert "TCP_ULP: No such file" in client.errors()
