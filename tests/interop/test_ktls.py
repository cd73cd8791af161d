# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""OpenSSL's own use of the ULP (`Options = KTLS`) in Debian 13: other than OpenSSL 3.0 it hands
over the receive keys of TLS 1.3, too. (tests/integration has that of this machine.)"""
import pytest

import talk
from console import of_s_client, of_s_server
from support import expect_carried, free_port, openssl_config, transfer


def suites():
    """OpenSSL asks for no ULP with ARIA."""
    return [suite for suite in talk.suites() if suite[1][1]]


@pytest.mark.parametrize("suite", suites(), ids=talk.suite_name)
def test_both_ends(launcher, certificate, directory, parcels, place, suite):
    port, parcel = free_port(), parcels[-1]
    config = {"OPENSSL_CONF": openssl_config(directory)}
    server, client = (
        talk.start_openssl(launcher, place, role, port, *suite, certificate, "-quiet", ulp=True,
                           env=config)
        for role in ("server", "client"))
    transfer(parcel, client.popen.stdin, server.popen.stdout)
    transfer(parcel, server.popen.stdin, client.popen.stdout)
    for program in (server, client):
        tree = expect_carried(program, tx=1, rx=1, sent=parcel.size, received=parcel.size)
        line, = tree["connections"]
        assert (line["version"], line["cipher"]) == (suite[0], suite[1][2])


@pytest.mark.parametrize("role", ["client", "server"])
def test_key_update(launcher, certificate, directory, places, role):
    """OpenSSL installs the next keys of a socket by itself; its peer has no ULP."""
    port, suite = free_port(), talk.suites(["1.3"])[0]
    options = {role: {"ulp": True, "env": {"OPENSSL_CONF": openssl_config(directory)}}}
    server, client = (
        talk.start_openssl(launcher, places["debian13" if its_role == role else "here"], its_role,
                           port, *suite, certificate, **options.get(its_role, {}))
        for its_role in ("server", "client"))
    server, client = of_s_server(server), of_s_client(client)
    lines = 0
    for side, other in 2 * [(client, server), (server, client)]:
        for request in (True, False):
            side.update(request)
            for sender, receiver in ((side, other), (other, side)):
                lines += 1
                line = b"this is line %06d\n" % lines
                sender.says(line)
                receiver.hears(line)
    ours = server if role == "server" else client
    counters = expect_carried(ours.program, tx=1, rx=1)["counters"]
    # Two rounds, in each two updates by either side, one of which asks for one in return.
    wanted = {"TlsTxRekeyOk": 6, "TlsRxRekeyOk": 6, "TlsRxRekeyReceived": 6,
              "TlsTxRekeyError": 0, "TlsRxRekeyError": 0}
    assert {name: counters[name] for name in wanted} == wanted
    client.program.popen.stdin.close()
    client.finish()
    server.finish()
