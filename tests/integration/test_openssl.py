# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""openssl s_server and s_client with `Options = KTLS` in the file that OPENSSL_CONF names."""
import pytest

from support import (
    CIPHERS, PIPES, both_versions, curl_download, expect_carried, expect_idle, free_port,
    openssl_config, rx_keys, transfer)


def s_server(launcher, certificate, port, version, *options, ulp=True, **kwargs):
    server = launcher.start(
        "openssl", "s_server", "-quiet", "-accept", port, "-cert", certificate.cert, "-key",
        certificate.key, *options, ulp=ulp,
        env={"OPENSSL_CONF": openssl_config(launcher.directory, version)}, **kwargs)
    return server.wait_for_port(port)


def s_client(launcher, certificate, port, version, ulp=True):
    return launcher.start(
        "openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-CAfile",
        certificate.cert, "-verify_return_error", ulp=ulp,
        env={"OPENSSL_CONF": openssl_config(launcher.directory, version)}, **PIPES)


@pytest.mark.parametrize("options", [["-WWW", "-sendfile"], ["-WWW"]], ids=" ".join)
@both_versions
def test_s_server_serves_a_file(launcher, certificate, payload, version, options):
    port = free_port()
    server = s_server(launcher, certificate, port, version, *options, cwd=payload.path.parent)
    url = f"https://127.0.0.1:{port}/payload"
    # s_server closes when it has sent all: look when it has sent half, and nothing more fits.
    download = curl_download(launcher, certificate, version, url, payload.size)
    download.receive(payload.size // 2)
    expect_carried(server, tx=1, rx=rx_keys(version), sent=payload.size // 2)
    assert download.finish() == payload.digest
    expect_idle(server)


@pytest.mark.parametrize("cipher", CIPHERS["1.2"])
def test_s_server_receives_each_cipher(launcher, certificate, payload, cipher):
    port = free_port()
    server = s_server(launcher, certificate, port, "1.2", "-cipher", f"{cipher}:@SECLEVEL=1",
                      **PIPES)
    client = launcher.start(
        "openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-CAfile",
        certificate.cert, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=1", **PIPES)
    transfer(payload, client.popen.stdin, server.popen.stdout)
    tree = expect_carried(server, tx=1, rx=1, received=payload.size)
    assert tree["connections"][0]["cipher"] == CIPHERS["1.2"][cipher]


@pytest.mark.parametrize("under_tlsulp", ["server", "client", "server and client"])
@both_versions
def test_both_ways(launcher, certificate, payload, version, under_tlsulp):
    port = free_port()
    server = s_server(launcher, certificate, port, version, ulp="server" in under_tlsulp, **PIPES)
    client = s_client(launcher, certificate, port, version, ulp="client" in under_tlsulp)
    transfer(payload, client.popen.stdin, server.popen.stdout)
    transfer(payload, server.popen.stdin, client.popen.stdout)
    received = payload.size if version == "1.2" else 0
    for program, name in ((server, "server"), (client, "client")):
        if name in under_tlsulp:
            tree = expect_carried(program, tx=1, rx=rx_keys(version), sent=payload.size,
                                  received=received)
            assert tree["connections"][0]["rx_home"] == ("user" if received else "-")


def test_check_fails_without_the_ulp(launcher, certificate, payload):
    port = free_port()
    server = s_server(launcher, certificate, port, "1.2", ulp=False, **PIPES)
    client = launcher.start(
        "openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-CAfile",
        certificate.cert, "-tls1_2", ulp=True, **PIPES)  # under tlsulp, but no Options = KTLS
    transfer(payload, client.popen.stdin, server.popen.stdout)
    for program in (server, client):
        with pytest.raises(AssertionError):
            expect_carried(program, tx=1, rx=1, patience=0.5)
