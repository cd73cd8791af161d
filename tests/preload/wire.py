# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The other end of the wire: a plain TCP peer that keeps every byte it gets and opens the
records in them with a library of its own. The first byte of a connection is its tag (peer.h):
the keys follow from it, and a connection with the tag PLAIN has none."""
import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PLAIN = 255
DATA = 23
ALERT = 21
TIMEOUT = 25
HERE = pathlib.Path(__file__).resolve().parent


def keys_of(tag, from_program):
    """(AEAD, nonce base) of one direction; peer_key() in peer.h makes the same."""
    key = tag if from_program else tag ^ 0x80
    return AESGCM(bytes([key]) * 16), bytes([tag]) * 4 + b"\x5a" * 8


def nonce_of(base, seq):
    return bytes(a ^ b for a, b in zip(base, bytes(4) + seq.to_bytes(8, "big")))


def seal(tag, seq, plain, kind=DATA):
    aead, base = keys_of(tag, False)
    inner = plain + bytes([kind])
    header = struct.pack(">BHH", DATA, 0x303, len(inner) + 16)
    return header + aead.encrypt(nonce_of(base, seq), inner, header)


def seal_all(tag, *plains):
    return b"".join(seal(tag, seq, plain) for seq, plain in enumerate(plains))


def fill(n, at=0):
    """fill() of peer.h."""
    return bytes((i * 7 + (i >> 8)) & 255 for i in range(at, at + n))


class Conn:
    """One connection as it was seen on the wire."""

    def __init__(self, sock):
        self.sock = sock
        self.tag = None
        self.bytes = bytearray()
        self.end = None  # "eof" or "reset"
        self.changed = threading.Condition()

    def records(self, whole=True, rekeys=()):
        """[(type, plaintext)]; AssertionError unless the wire shows nothing but records with
        contiguous sequence numbers. With whole=False it may end inside of one. @rekeys: the
        tags of keys that come later, each from 0 on."""
        assert self.tag not in (None, PLAIN)
        aead, base = keys_of(self.tag, True)
        data, at, out, seq, rekeys = bytes(self.bytes), 0, [], 0, list(rekeys)
        while at < len(data):
            head = data[at:at + 5]
            if len(head) == 5:
                kind, version, length = struct.unpack(">BHH", head)
                assert (kind, version) == (DATA, 0x303) and length <= 16384 + 256, \
                    f"not a record at {at}: {data[at:at + 40]!r}"
            if len(head) < 5 or len(data) < at + 5 + length:
                assert not whole, f"ends inside a record, at {at} of {len(data)}"
                break
            body = data[at + 5:at + 5 + length]
            try:
                inner = aead.decrypt(nonce_of(base, seq), body, head)
            except InvalidTag:
                if rekeys:
                    aead, base = keys_of(rekeys.pop(0), True)
                    seq = 0
                    continue
                raise AssertionError(
                    f"record {len(out)} at {at} of tag {self.tag} does not open: "
                    f"{data[at:at + 40]!r}") from None
            inner = inner.rstrip(b"\0")
            out.append((inner[-1], inner[:-1]))
            seq += 1
            at += 5 + length
        return out

    def text(self, whole=True):
        """The plaintext of all records, which are data records."""
        records = self.records(whole)
        assert all(kind == DATA for kind, _ in records), [kind for kind, _ in records]
        return b"".join(plain for _, plain in records)

    def wait(self, done, timeout=TIMEOUT):
        with self.changed:
            ok = self.changed.wait_for(lambda: done(self), timeout)
        assert ok, f"tag {self.tag}: {len(self.bytes)} bytes, end {self.end} after {timeout} s"

    def wait_end(self, end="eof", timeout=TIMEOUT):
        self.wait(lambda c: c.end, timeout)
        assert end is None or self.end == end, self.end


def end(sock):
    """Whoever is asleep in a call on it is woken."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class Peer:
    """Listens on a port of 127.0.0.1. Options: reply, {tag: bytes} to send as soon as a
    connection with that tag is there; slow, seconds to wait before reading on (after the tag);
    step, bytes per read; pause, seconds between reads; rcvbuf; hold, read nothing before
    release(); script, called with the connection after its tag, before reading."""

    def __init__(self, reply=None, slow=0, step=1 << 16, pause=0, rcvbuf=None, hold=False,
                 keep_open=False, script=None):
        self.reply, self.slow, self.step, self.pause = reply or {}, slow, step, pause
        self.keep_open, self.script = keep_open, script
        self.conns = []
        self.changed = threading.Condition()
        self.go = threading.Event()
        if not hold:
            self.go.set()
        self.listener = socket.socket()
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.start(self.accept)

    def start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """A thread that is about to make a call must not make it on the number of another peer's
        socket: closed is what no thread uses any more."""
        self.go.set()
        end(self.listener)
        self.threads[0].join(TIMEOUT)
        for conn in self.conns:
            end(conn.sock)
        for thread in self.threads:
            thread.join(1)  # one that sleeps finds its socket closed
        self.listener.close()
        for conn in self.conns:
            conn.sock.close()

    def release(self):
        self.go.set()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            conn = Conn(sock)
            with self.changed:
                self.conns.append(conn)
                self.changed.notify_all()
            self.start(self.serve, conn)

    def serve(self, conn):
        end = "eof"
        try:
            tag = conn.sock.recv(1)
            with conn.changed:
                conn.tag = tag[0] if tag else None
                conn.changed.notify_all()
            if conn.tag in self.reply:
                conn.sock.sendall(self.reply[conn.tag])
            if self.script:
                self.start(self.script, conn)
            self.go.wait()
            time.sleep(self.slow)
            while True:
                data = conn.sock.recv(self.step)
                if not data:
                    break
                with conn.changed:
                    conn.bytes += data
                    conn.changed.notify_all()
                time.sleep(self.pause)
        except OSError:
            end = "reset"
        with conn.changed:
            conn.end = end
            conn.changed.notify_all()
        if end == "eof" and not self.keep_open:
            conn.sock.close()

    def all(self, tag, count=1, timeout=TIMEOUT):
        """Connections with this tag, in the order they came, once there are that many."""
        def found():
            return [c for c in self.conns if c.tag == tag]

        end = time.monotonic() + timeout
        while len(found()) < count:
            assert time.monotonic() < end, \
                f"{len(found())} of {count} connections with tag {tag}; there are " \
                f"{[(c.tag, c.end, len(c.bytes)) for c in self.conns]}"
            time.sleep(0.01)
        return found()

    def wait_tags(self, count, timeout=TIMEOUT):
        """Until that many connections have sent their tag."""
        end = time.monotonic() + timeout
        while sum(conn.tag is not None for conn in self.conns) < count:
            assert time.monotonic() < end, f"{len(self.conns)} of {count} connections"
            time.sleep(0.01)

    def one(self, tag, timeout=TIMEOUT):
        return self.all(tag, 1, timeout)[0]

    def ended(self, tag, end="eof", timeout=TIMEOUT):
        conn = self.one(tag, timeout)
        conn.wait_end(end, timeout)
        return conn


class Runner:
    """Compiles progs/NAME.c once and runs it under tlsulp."""

    def __init__(self, build, directory):
        self.tlsulp, self.directory = str(build / "tlsulp"), directory
        self.made = {}

    def program(self, name):
        if name not in self.made:
            out = self.directory / name
            subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-D_GNU_SOURCE",
                            "-pthread", "-o", out, HERE / "progs" / f"{name}.c"], check=True)
            self.made[name] = str(out)
        return self.made[name]

    def command(self, name, *args, mode="user"):
        program = self.program(name) if (HERE / "progs" / f"{name}.c").exists() else name
        return [self.tlsulp, "run", "--mode", mode, "--", program, *map(str, args)]

    def start(self, name, *args, env=None, **kwargs):
        return subprocess.Popen(self.command(name, *args), env={**os.environ, **(env or {})},
                                **kwargs)

    def run(self, name, *args, status=0, timeout=TIMEOUT, env=None, **kwargs):
        """Returns what it said on stderr. It must exit with @status."""
        done = subprocess.run(self.command(name, *args), capture_output=True, timeout=timeout,
                              env={**os.environ, **(env or {})}, check=False, **kwargs)
        err = done.stderr.decode(errors="replace")
        assert status is None or done.returncode == status, \
            f"exit {done.returncode}: {err}{done.stdout.decode(errors='replace')}"
        return err
