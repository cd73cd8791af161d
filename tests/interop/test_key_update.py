# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TLS 1.3 KeyUpdate (RFC 8446 section 4.6.3), begun by either side, with and without a request
for one in return. progs/ulp.c derives the next keys and installs them; before it does so for
what it receives, it looks that reads say EKEYEXPIRED and that poll() reports nothing."""
import hashlib

import pytest

import talk
from console import Console, of_s_client, of_s_server
from support import PIPES, digest_of

each_suite = pytest.mark.parametrize("suite", talk.suites(["1.3"]), ids=talk.suite_name)
both_roles = pytest.mark.parametrize("role", ["client", "server"])


def start_gnutls_cli(launcher, place, _role, port, version, cipher, certificate):
    return launcher.start(*place.command(
        "gnutls-cli", "--logfile", launcher.directory / "cli.log", "--inline-commands",
        "--priority", talk.priorities(version, cipher), "--x509cafile", certificate.cert,
        "--port", port, "127.0.0.1"), **PIPES)


class TalkingPeer:
    """progs/gnutls.c in that place."""

    def __init__(self, talker, directory):
        self.talker, self.path = talker, directory / "peer"
        assert talker.hear() == ["open"]

    def says(self, line):
        self.path.write_bytes(line)
        assert self.talker.ask("put", self.path, 1000)[0] == "put"

    def hears(self, line):
        self.path.unlink(missing_ok=True)
        assert self.talker.ask("get", len(line), self.path)[0] == "got"
        assert self.path.read_bytes() == line

    def update(self, request):
        self.talker.ask("request" if request else "update")

    def finish(self):
        assert self.talker.ask("end") == ["ended"]
        self.talker.finish()


class Conversation:
    """Numbered lines both ways, and how many key updates there must have been."""

    def __init__(self, ours, peer, directory):
        self.ours, self.peer, self.path = ours, peer, directory / "ours"
        self.lines = self.sent = self.received = 0

    def next_line(self):
        self.lines += 1
        return b"this is line %06d\n" % self.lines

    def we_say(self):
        line = self.next_line()
        self.path.write_bytes(line)
        assert self.ours.ask("put", self.path, 1000)[0] == "put"
        self.peer.hears(line)

    def peer_says(self):
        line = self.next_line()
        self.path.unlink(missing_ok=True)
        self.ours.tell("get", len(line), self.path)
        self.peer.says(line)
        assert self.ours.hear()[:2] == ["got", str(self.received)]
        assert self.path.read_bytes() == line

    def peer_updates(self, request):
        self.peer.update(request)
        self.received += 1
        self.sent += request  # the answer
        self.peer_says()
        self.we_say()

    def we_update(self, request, times=1):
        for _ in range(times):
            assert self.ours.ask("request" if request else "update")
            self.sent += 1
        self.we_say()
        self.received += request  # the answer comes before what the peer sends next
        self.peer_says()

    def finish(self):
        expect_counted(self.ours, self.sent, self.received)
        assert self.ours.ask("close") == ["closed"]
        self.peer.finish()
        self.ours.finish()


def expect_counted(ours, sent, received):
    wanted = {"TlsTxSw": 1, "TlsRxSw": 1, "TlsTxRekeyOk": sent, "TlsRxRekeyOk": received,
              "TlsRxRekeyReceived": received, "TlsTxRekeyError": 0, "TlsRxRekeyError": 0,
              "TlsDecryptError": 0}
    counters = ours.program.counters()
    assert {name: counters[name] for name in wanted} == wanted


def update_often(conversation, rounds):
    conversation.peer_says()
    conversation.we_say()
    for _ in range(rounds):
        conversation.peer_updates(request=True)
        conversation.peer_updates(request=False)
        conversation.we_update(request=False)
        conversation.we_update(request=True)
    conversation.we_update(request=False, times=2)
    conversation.peer_updates(request=True)
    conversation.finish()


@each_suite
@both_roles
def test_openssl(launcher, certificate, directory, ends, role, suite):
    ours, program = talk.start_pair(launcher, certificate, ends, role, suite, talk.start_openssl)
    peer = of_s_client(program) if role == "server" else of_s_server(program)
    update_often(Conversation(ours, peer, directory), 4)


@each_suite
@both_roles
def test_gnutls(launcher, certificate, directory, ends, role, suite):
    """GnuTLS takes at most 8 updates a second: so one round."""
    ours, talker = talk.start_pair(launcher, certificate, ends, role, suite, talk.start_gnutls)
    update_often(Conversation(ours, TalkingPeer(talker, directory), directory), 1)


@each_suite
def test_gnutls_cli(launcher, certificate, directory, ends, suite):
    ours, program = talk.start_pair(launcher, certificate, ends, "server", suite, start_gnutls_cli)
    peer = Console(program, b"^rekey^", b"^rekey1^")
    update_often(Conversation(ours, peer, directory), 1)


@both_roles
def test_between_many_records(launcher, certificate, directory, parcels, ends, role):
    """The next records are there already when the pause begins, and none of them is lost."""
    suite = talk.suites(["1.3"])[0]
    ours, peer = talk.start_pair(launcher, certificate, ends, role, suite, talk.start_gnutls)
    assert peer.hear() == ["open"]
    whole = hashlib.sha256(b"".join(parcel.path.read_bytes() for parcel in parcels)).hexdigest()
    for sender, receiver in ((peer, ours), (ours, peer)):
        path = directory / "got"
        path.unlink(missing_ok=True)
        receiver.tell("get", sum(parcel.size for parcel in parcels), path)
        for parcel in parcels:
            assert sender.ask("update") == ["updated"]
            sender.put(parcel)
        assert receiver.hear()[0] == "got" and digest_of(path) == whole
    expect_counted(ours, len(parcels), len(parcels))
