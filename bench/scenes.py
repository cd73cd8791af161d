# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is measured: points, each with its contenders.

Both ends on one processor or on two makes the greatest difference of all where an end sleeps
for each message: across processors waking the other costs many times the message, and a slow
receiver, which never sleeps, looks cheap. So what has small messages or waits for answers is
measured with both ends on one processor ("together"), where the figure is what the ends do;
bulk with one processor for each ("apart"), as are once more the smallest.

One axis at a time leaves AES-128-GCM with TLS 1.3, 16 KiB and one connection; `full_product`
has every size with every number of connections and every cipher.
"""
import dataclasses

KIB, MIB = 1 << 10, 1 << 20
SIZES = (64, KIB, 16 * KIB, 128 * KIB, MIB)
CONNECTIONS = (1, 100, 9000)
BULK = ("send", "splice", "pipe", "sendfile", "receive")
ALL = ("tcp", "tlsulp", "openssl30", "openssl35", "gnutls")
NOT_GNUTLS = ("tcp", "tlsulp", "openssl30", "openssl35")
# tlsulp13: tlsulp with the libraries of Debian 13, as openssl35, where they make the difference.
# 9,000 handshakes a run: of the others' record layers only the one that the targets name.
MANY = ("tcp", "tlsulp", "openssl35")
# TLS version, cipher, who has it.
CIPHERS = (
    (13, "aes-128-gcm", ALL),
    (13, "aes-256-gcm", ALL),
    (13, "aes-128-ccm", ALL),
    (13, "chacha20", ALL),
    (13, "sm4-gcm", ("tcp", "tlsulp")),
    (13, "sm4-ccm", ("tcp", "tlsulp")),
    (12, "aes-128-gcm", ALL),
    (12, "aes-256-gcm", ALL),
    (12, "aes-128-ccm", ALL),
    (12, "chacha20", ALL),
    (12, "aria-128-gcm", (*NOT_GNUTLS, "tlsulp13")),
    (12, "aria-256-gcm", (*NOT_GNUTLS, "tlsulp13")),
)


@dataclasses.dataclass(frozen=True)
class Point:
    group: str
    scenario: str
    size: int = 16 * KIB
    connections: int = 1
    tls: int = 13
    cipher: str = "aes-128-gcm"
    contenders: tuple = ALL
    sndbuf: int = 0
    pause: int = 0
    label: str = ""
    veth: bool = False
    no_vaes: bool = False
    placement: str = ""  # "together", "apart"; the default is as told above

    @property
    def is_together(self):
        if self.placement:
            return self.placement == "together"
        return self.size < 16 * KIB or self.scenario in ("echo", "rr")

    @property
    def name(self):
        words = [self.group, self.label or self.scenario, short(self.size), f"{self.connections}c",
                 f"{self.cipher}-tls1.{self.tls - 10}",
                 "together" if self.is_together else "apart"]
        return "/".join(words)

    def options(self):
        words = ["--size", self.size, "--connections", self.connections, "--tls", self.tls,
                 "--cipher", self.cipher]
        if self.sndbuf:
            words += ["--sndbuf", self.sndbuf]
        if self.pause:
            words += ["--pause", self.pause]
        return [str(word) for word in words]


def short(size):
    for unit, text in ((MIB, "M"), (KIB, "K")):
        if size >= unit:
            return f"{size // unit}{text}"
    return f"{size}B"


def contenders_for(connections, those=ALL):
    return those if connections < 1000 else tuple(c for c in those if c in MANY)


def axes():
    points = [Point("sizes", s, size=n) for s in (*BULK, "echo") for n in SIZES]
    points += [Point("latency", "rr", size=n, connections=c)
               for n in (64, KIB, 16 * KIB) for c in (1, 64)]
    points += [Point("apart", s, size=n, placement="apart")
               for s in ("receive", "rr") for n in (64, KIB)]
    points += [Point("connections", s, size=n, connections=c, contenders=contenders_for(c))
               for c in CONNECTIONS[1:]
               for s, n in (("receive", 64), ("receive", KIB), ("receive", 16 * KIB),
                            ("send", 16 * KIB), ("rr", 64))]
    points += [Point("ciphers", "receive", tls=t, cipher=c, contenders=who)
               for t, c, who in CIPHERS if (t, c) != (13, "aes-128-gcm")]
    points += [Point("veth", s, size=n, veth=True)
               for s in ("send", "sendfile", "receive") for n in (16 * KIB, 128 * KIB, MIB)]
    # What not copying could gain, at the most: without TLS.
    points += [Point("zerocopy", "send", size=n, veth=True, contenders=("tcp", "zerocopy"))
               for n in (16 * KIB, 128 * KIB, MIB)]
    return points + cliffs()


def cliffs():
    return [
        Point("cliffs", "send", sndbuf=4096, label="small-sndbuf-send",
              placement="together"),
        Point("cliffs", "receive", sndbuf=4096, label="small-sndbuf-receive",
              placement="together"),
        Point("cliffs", "receive", pause=200, label="slow-reader"),
        Point("cliffs", "receive", size=MIB, pause=2000, label="slow-reader"),
        Point("cliffs", "vector", size=64 * KIB, label="1024-unaligned-entries"),
        Point("cliffs", "vector", size=MIB, label="1024-unaligned-entries"),
        Point("cliffs", "more", size=KIB, label="1-byte-steps"),
        Point("cliffs", "more", size=16 * KIB, label="1-byte-steps"),
        Point("cliffs", "send", no_vaes=True, label="no-vaes-send", contenders=NOT_GNUTLS),
        Point("cliffs", "receive", no_vaes=True, label="no-vaes-receive",
              contenders=NOT_GNUTLS),
    ]


def full_product():
    points = [Point("product", s, size=n, connections=c, tls=t, cipher=name,
                    contenders=contenders_for(c, who))
              for s in (*BULK, "echo", "rr") for n in SIZES for c in CONNECTIONS
              for t, name, who in CIPHERS
              if (s != "echo" or c == 1) and n * c <= 9000 * 128 * KIB]
    return axes() + points
