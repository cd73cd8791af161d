# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The two programs of progs/talk.c, and the places that they and their peers run in."""
import dataclasses
import pathlib
import subprocess

import support

PROGS = pathlib.Path(__file__).parent / "progs"
SOURCES = {"ulp": ["talk.c", "ulp.c", "keys.c", "-lssl", "-lcrypto"],
           "gnutls": ["talk.c", "gnutls.c", "-lgnutls"]}

# Cipher: (OpenSSL's name, GnuTLS's, that of `tlsulp stat`).
CIPHERS = {
    "1.2": [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "AES-128-GCM", "AES-GCM-128"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "AES-256-GCM", "AES-GCM-256"),
        ("ECDHE-ECDSA-AES128-CCM", "AES-128-CCM", "AES-CCM-128"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20-POLY1305", "CHACHA20-POLY1305"),
        ("ECDHE-ECDSA-ARIA128-GCM-SHA256", None, "ARIA-GCM-128"),
        ("ECDHE-ECDSA-ARIA256-GCM-SHA384", None, "ARIA-GCM-256"),
    ],
    "1.3": [
        ("TLS_AES_128_GCM_SHA256", "AES-128-GCM", "AES-GCM-128"),
        ("TLS_AES_256_GCM_SHA384", "AES-256-GCM", "AES-GCM-256"),
        ("TLS_AES_128_CCM_SHA256", "AES-128-CCM", "AES-CCM-128"),
        ("TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "CHACHA20-POLY1305"),
    ],
}


def suites(versions=("1.2", "1.3"), gnutls=False):
    """Parameters of a test: (version, cipher) that the library has."""
    return [(version, cipher) for version in versions for cipher in CIPHERS[version]
            if cipher[1] or not gnutls]


def suite_name(value):
    """What pytest calls such a parameter."""
    return f"TLS{value[0]}-{value[1][2]}"


def priorities(version, cipher):
    return f"NORMAL:-VERS-ALL:+VERS-TLS{version}:-CIPHER-ALL:+{cipher[1]}"


def openssl_options(version, cipher):
    if version == "1.3":
        return ["-tls1_3", "-ciphersuites", cipher[0]]
    return ["-tls1_2", "-cipher", cipher[0]]


class Place:
    """This machine, or Debian 13 in a folder: the same files, other libraries."""

    def __init__(self, name, prefix, build, scratch):
        self.name, self.prefix, self.tlsulp = name, prefix, build / "tlsulp"
        self.scratch, self.programs = scratch, {}

    def command(self, *words, ulp=False):
        ulp_words = [self.tlsulp, "run", "--mode", "user", "--"] if ulp else []
        return [*self.prefix, *ulp_words, *words]

    def program(self, name):
        if name not in self.programs:
            self.programs[name] = self.compile(f"talk-{name}", SOURCES[name])
        return self.programs[name]

    def compile(self, name, sources):
        path = self.scratch / f"{name}-{self.name}"
        subprocess.run(
            self.command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                         "-O1", "-o", path, *sources), check=True, cwd=PROGS)
        return path


class Talker:
    """A running talk program. Commands and answers may be apart: tell(), then hear()."""

    def __init__(self, launcher, place, name, role, port, version, ciphers, certificate):
        files = [certificate.cert, certificate.key] if role == "server" else []
        self.program = launcher.start(
            *place.command(place.program(name), role, port, version, ciphers, *files,
                           ulp=name == "ulp"), **support.PIPES)
        if role == "server":
            self.program.wait_for_port(port)

    def tell(self, *words):
        self.program.popen.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.program.popen.stdin.flush()

    def hear(self):
        line = self.program.popen.stdout.readline().decode().split()
        assert line, f"{self.program.popen.args} gave up: {self.program.errors()}"
        return line

    def put(self, parcel):
        assert self.ask("put", parcel.path, parcel.chunk) == ["put", str(parcel.size)]

    def expect(self, parcel, path):
        """Begin to receive; call what is returned when it was sent, for (updates, tickets)."""
        path.unlink(missing_ok=True)
        self.tell("get", parcel.size, path)

        def finish():
            word, *counts = self.hear()
            assert word == "got" and support.digest_of(path) == parcel.digest
            return tuple(map(int, counts))
        return finish

    def ask(self, *words):
        self.tell(*words)
        return self.hear()

    def finish(self):
        self.program.popen.stdin.close()
        self.program.expect_exit(0)
        assert self.program.errors() == ""


def start_ulp(launcher, place, role, port, version, cipher, certificate):
    return Talker(launcher, place, "ulp", role, port, version, cipher[0], certificate)


def start_gnutls(launcher, place, role, port, version, cipher, certificate):
    return Talker(launcher, place, "gnutls", role, port, version, priorities(version, cipher),
                  certificate)


def start_openssl(launcher, place, role, port, version, cipher, certificate, *options, ulp=False,
                  env=None):
    """openssl s_server or s_client. Without -nbio, s_server may wait for a record that does not
    come, while it has data to send."""
    if role == "server":
        command = ["s_server", "-nbio", "-naccept", 1, "-accept", port, "-cert",
                   certificate.cert, "-key", certificate.key]
    else:
        command = ["s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", certificate.cert,
                   "-verify_return_error"]
    command = place.command("stdbuf", "-oL", "openssl", *command, *options,
                            *openssl_options(version, cipher), ulp=ulp)
    program = launcher.start(*command, env=env, **support.PIPES)
    if role == "server":
        program.wait_for_port(port)
    return program


def start_pair(launcher, certificate, ends, role, suite, start_peer):
    """(the program on tlsulp, which is @role, its peer): the server is started first."""
    port = support.free_port()
    starters = {start_ulp: (ends[0], role),
                start_peer: (ends[1], "client" if role == "server" else "server")}
    started = {}
    for start, (place, its_role) in sorted(starters.items(), key=lambda s: s[1][1] == "client"):
        started[start] = start(launcher, place, its_role, port, *suite, certificate)
    assert started[start_ulp].hear() == ["open"]
    return started[start_ulp], started[start_peer]


@dataclasses.dataclass
class Parcel(support.Payload):
    chunk: int


def make_parcels(directory):
    sizes = {"tiny": (257, 1), "odd": (70001, 1337), "records": (1 << 20, 16384),
             "big": ((3 << 20) + 12345, 300000)}
    return [Parcel(**vars(support.make_payload(directory / f"parcel-{name}", size)), chunk=chunk)
            for name, (size, chunk) in sizes.items()]
