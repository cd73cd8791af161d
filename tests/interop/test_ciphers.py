# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Every cipher that the ULP and a peer's library have, both roles, both directions: a program on
tlsulp (progs/ulp.c) against openssl s_server and s_client, and against GnuTLS."""
import pytest

import talk
from support import Feeder, Reader, expect_carried

both_roles = pytest.mark.parametrize("role", ["client", "server"])


def each_suite(**kwargs):
    return pytest.mark.parametrize("suite", talk.suites(**kwargs), ids=talk.suite_name)


def start_quiet(*args):
    return talk.start_openssl(*args, "-quiet")


def expect_proof(ours, suite, parcels):
    version, cipher = suite
    total = sum(parcel.size for parcel in parcels)
    tree = expect_carried(ours.program, tx=1, rx=1, sent=total, received=total)
    line, = tree["connections"]
    assert (line["version"], line["cipher"]) == (version, cipher[2])


@each_suite()
@both_roles
def test_openssl(launcher, certificate, directory, parcels, ends, role, suite):
    ours, peer = talk.start_pair(launcher, certificate, ends, role, suite, start_quiet)
    for parcel in parcels:
        arrived = ours.expect(parcel, directory / "got")
        feeder = Feeder(parcel.path, peer.popen.stdin)
        arrived()
        feeder.finish()
        reader = Reader(parcel, peer.popen.stdout)
        ours.put(parcel)
        reader.finish()
    expect_proof(ours, suite, parcels)
    assert ours.ask("close") == ["closed"]
    assert ours.ask("end") == ["ended"]
    assert peer.popen.stdout.read() == b""
    peer.expect_exit(0)
    ours.finish()


@each_suite(gnutls=True)
@both_roles
def test_gnutls(launcher, certificate, directory, parcels, ends, role, suite):
    ours, peer = talk.start_pair(launcher, certificate, ends, role, suite, talk.start_gnutls)
    assert peer.hear() == ["open"]
    for parcel in parcels:
        for sender, receiver in ((peer, ours), (ours, peer)):
            arrived = receiver.expect(parcel, directory / "got")
            sender.put(parcel)
            arrived()
    expect_proof(ours, suite, parcels)
    for first, second in ((peer, ours), (ours, peer)):
        assert first.ask("close") == ["closed"]
        assert second.ask("end") == ["ended"]
    ours.finish()
    peer.finish()
