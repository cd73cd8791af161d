# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""wirecheck against captures made here: good ones pass, each kind of fault is named.

The records are sealed with libcrypto, those of SM4 with libgcrypt, so that
wirecheck's own SM4 modes have an independent judge.
"""
import ctypes
import ctypes.util
import os
import struct
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
V12, V13 = 0x0303, 0x0304
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
PID = 77

# number: (libcrypto's name or None for libgcrypt, key, salt, iv, mode)
SUITES = {
    "aes128gcm": (51, "AES-128-GCM", 16, 4, 8),
    "aes256gcm": (52, "AES-256-GCM", 32, 4, 8),
    "aesccm": (53, "AES-128-CCM", 16, 4, 8),
    "chacha": (54, "ChaCha20-Poly1305", 32, 0, 12),
    "sm4gcm": (55, None, 16, 4, 8),
    "sm4ccm": (56, None, 16, 4, 8),
    "aria128": (57, "ARIA-128-GCM", 16, 4, 8),
    "aria256": (58, "ARIA-256-GCM", 32, 4, 8),
}
IN_USE = [(V12, s) for s in SUITES if not s.startswith("sm4")] + \
         [(V13, s) for s in SUITES if not s.startswith("aria")]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("wirecheck") / "wirecheck")
    sources = [os.path.join(HERE, f) for f in
               ("wirecheck.c", "capture.c", "opener.c", "blockmode.c")]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
                    "-fsanitize=address,undefined", "-fno-sanitize-recover", "-o", out,
                    *sources, "-lcrypto"], check=True)
    return out


def evp_seal(name, key, nonce, aad, plain):
    crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
    crypto.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
    crypto.EVP_CIPHER_fetch.restype = ctypes.c_void_p
    cipher = ctypes.c_void_p(crypto.EVP_CIPHER_fetch(None, name.encode(), None))
    ctx = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    n, out, tag = ctypes.c_int(), ctypes.create_string_buffer(len(plain) + 1), \
        ctypes.create_string_buffer(16)
    ccm = name.endswith("CCM")
    assert crypto.EVP_EncryptInit_ex(ctx, cipher, None, None, None) == 1
    assert crypto.EVP_CIPHER_CTX_ctrl(ctx, 9, 12, None) == 1
    if ccm:
        assert crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x11, 16, None) == 1
    assert crypto.EVP_EncryptInit_ex(ctx, None, None, key, nonce) == 1
    if ccm:
        assert crypto.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), None, len(plain)) == 1
    assert crypto.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad)) == 1
    assert crypto.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), plain, len(plain)) == 1
    assert crypto.EVP_EncryptFinal_ex(ctx, ctypes.byref(ctypes.create_string_buffer(16)),
                                      ctypes.byref(n)) == 1
    assert crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x10, 16, tag) == 1
    crypto.EVP_CIPHER_CTX_free(ctx)
    crypto.EVP_CIPHER_free(cipher)
    return out.raw[:len(plain)] + tag.raw


def gcrypt_seal(ccm, key, nonce, aad, plain):
    gcrypt = ctypes.CDLL("libgcrypt.so.20")
    gcrypt.gcry_check_version(None)
    sm4, handle, size = 318, ctypes.c_void_p(), ctypes.c_size_t
    out, tag = ctypes.create_string_buffer(len(plain) + 1), ctypes.create_string_buffer(16)
    assert gcrypt.gcry_cipher_open(ctypes.byref(handle), sm4, 8 if ccm else 9, 0) == 0
    assert gcrypt.gcry_cipher_setkey(handle, key, size(len(key))) == 0
    assert gcrypt.gcry_cipher_setiv(handle, nonce, size(12)) == 0
    if ccm:
        lengths = (ctypes.c_uint64 * 3)(len(plain), len(aad), 16)
        assert gcrypt.gcry_cipher_ctl(handle, 69, lengths, size(24)) == 0
    assert gcrypt.gcry_cipher_authenticate(handle, aad, size(len(aad))) == 0
    assert gcrypt.gcry_cipher_encrypt(handle, out, size(len(plain)), plain, size(len(plain))) == 0
    assert gcrypt.gcry_cipher_gettag(handle, tag, size(16)) == 0
    gcrypt.gcry_cipher_close(handle)
    return out.raw[:len(plain)] + tag.raw


class Key:
    """One key as a program installs it, and the records sealed with it."""

    def __init__(self, version=V13, suite="aes128gcm", seq=0, fill=1):
        self.version, self.seq, self.suite = version, seq, suite
        self.number, self.evp, key, salt, iv = SUITES[suite]
        self.key, self.salt, self.iv = bytes([fill]) * key, bytes([fill + 1]) * salt, \
            bytes(range(fill, fill + iv))

    def info(self):
        return struct.pack("=HH", self.version, self.number) + self.iv + self.key + self.salt + \
            struct.pack(">Q", self.seq)

    def seal(self, nonce, aad, plain):
        if self.evp:
            return evp_seal(self.evp, self.key, nonce, aad, plain)
        return gcrypt_seal(self.suite == "sm4ccm", self.key, nonce, aad, plain)

    def record(self, plain, seq, kind=23, inner=None, explicit=None):
        fixed, xor = self.salt + self.iv, struct.pack(">4xQ", seq)
        nonce = bytes(a ^ b for a, b in zip(fixed, xor))
        if self.version == V13:
            content = plain + bytes([kind]) if inner is None else inner
            aad = struct.pack(">BHH", 23, V12, len(content) + 16)
            return aad + self.seal(nonce, aad, content)
        prefix = b""
        if self.suite != "chacha":
            prefix = struct.pack(">Q", seq) if explicit is None else explicit
            nonce = self.salt + prefix
        aad = struct.pack(">QBHH", seq, kind, V12, len(plain))
        body = prefix + self.seal(nonce, aad, plain)
        return struct.pack(">BHH", kind, V12, len(body)) + body

    def records(self, count, size=100, first=None):
        first = self.seq if first is None else first
        return [self.record(os.urandom(size), first + i) for i in range(count)]


class Wire:
    """A capture and a key log, packet by packet; one client that sends, on 127.0.0.1 or ::1."""

    isn = 0xfffffff0  # so that sequence numbers wrap early

    def __init__(self, v6=False, port=40000):
        self.v6, self.port, self.now = v6, port, 1000
        self.packets, self.log = [], []
        self.sent = 0

    def address(self):
        return bytes(15) + b"\1" if self.v6 else bytes(10) + b"\xff\xff\x7f\0\0\1"

    def packet(self, flags, data=b"", seq=0, ack=0, back=False):
        ports = (443, self.port) if back else (self.port, 443)
        tcp = struct.pack(">HHIIBBHHH", *ports, seq % 2**32, ack % 2**32, 5 << 4, flags, 65535,
                          0xdead, 0) + data
        if self.v6:
            frame = bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + \
                self.address() * 2 + tcp
        else:
            frame = bytes(12) + b"\x08\x00" + struct.pack(
                ">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + \
                self.address()[12:] * 2 + tcp
        self.now += 1
        self.packets.append(struct.pack("<IIII", self.now, 0, len(frame), len(frame)) + frame)

    def open(self):
        self.sent = 0
        self.packet(SYN, seq=self.isn)
        self.packet(SYN | ACK, seq=5000, ack=self.isn + 1, back=True)
        self.packet(ACK, seq=self.isn + 1, ack=5001)
        return self

    def install(self, key, before=None, after=None, check=None, direction="TX", cookie=9):
        before = self.sent if before is None else before
        after = self.sent if after is None else after
        check = after + 1 if check is None else check
        end = f"{self.address().hex()}"
        self.log.append(f"KEY {self.now}.500000000 {PID} {cookie} {direction} {end} {self.port} "
                        f"{end} 443 {before} {after} {check} {key.info().hex()}")
        return self

    def segment(self, data, at=None):
        at = self.sent if at is None else at
        self.packet(PSH | ACK, data, seq=self.isn + 1 + at, ack=5001)
        self.sent = max(self.sent, at + len(data))
        return self

    def send(self, *chunks, mtu=1000):
        stream = b"".join(chunks)
        for i in range(0, len(stream), mtu):
            self.segment(stream[i:i + mtu])
        return self

    def acknowledge(self, upto=None):
        self.packet(ACK, seq=5001, ack=self.isn + 1 + (self.sent if upto is None else upto),
                    back=True)
        return self

    def close(self, exited=True):
        self.packet(FIN | ACK, seq=self.isn + 1 + self.sent, ack=5001)
        self.packet(FIN | ACK, seq=5001, ack=self.isn + 2 + self.sent, back=True)
        if exited:
            self.log.append(f"EXIT {self.now}.9 {PID}")
        return self

    def reset(self):
        self.packet(RST | ACK, seq=5001, ack=self.isn + 1, back=True)
        return self


@pytest.fixture
def check(program, tmp_path):
    def run(wire, status, *texts, packets=None):
        pcap, log = tmp_path / "lo.pcap", tmp_path / "keylog"
        pcap.write_bytes(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1) +
                         b"".join(wire.packets if packets is None else packets))
        log.write_text("".join(line + "\n" for line in wire.log), encoding="ascii")
        done = subprocess.run([program, str(pcap), str(log)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == status, done.stdout
        for text in texts:
            assert text in done.stdout
    return run


@pytest.mark.parametrize("version,suite", IN_USE)
def test_good(check, version, suite):
    key = Key(version, suite, seq=5)
    records = key.records(20, 700) + [key.record(b"\x01\x00", 25, kind=21),
                                      key.record(b"", 26, kind=22), key.record(b"x" * 16384, 27)]
    wire = Wire().open().segment(b"before the key").install(key).send(*records).acknowledge()
    check(wire.close(), 0, "23 records opened", "0 failures")


@pytest.mark.parametrize("version,suite", IN_USE)
@pytest.mark.parametrize("size", [0, 50])
def test_changed_tag(check, version, suite, size):
    key = Key(version, suite)
    record = bytearray(key.record(b"x" * size, 0, kind=22))
    record[-1] ^= 1
    check(Wire().open().install(key).send(bytes(record)).close(), 1, "does not open")


def test_ipv6(check):
    key = Key()
    check(Wire(v6=True).open().install(key).send(*key.records(3)).close(), 0, "3 records opened")


def test_plaintext(check):
    check(Wire().open().install(Key()).send(b"test_read\0").close(), 1, "no TLS record")


def test_plaintext_after_good_records(check):
    key = Key()
    wire = Wire().open().install(key).send(*key.records(3), b"GET /")
    check(wire.close(), 1, "no TLS record", "3 records opened")


def test_plaintext_of_three_bytes(check):
    check(Wire().open().install(Key()).send(b"abc").reset(), 1, "no TLS record")


def test_plaintext_during_the_first_installation(check):
    key = Key()
    wire = Wire().open().send(b"abc").install(key, before=0).send(*key.records(1))
    check(wire.close(), 1, "while the first key was being installed")


def test_repeated_nonce(check):
    key = Key(V12)
    records = [key.record(b"one", 0, explicit=bytes(8)), key.record(b"two", 1, explicit=bytes(8))]
    check(Wire().open().install(key).send(*records).close(), 1, "a nonce was used twice")


@pytest.mark.parametrize("version", [V12, V13])
def test_gap_in_the_sequence(check, version):
    key = Key(version)
    wire = Wire().open().install(key).send(*key.records(2), *key.records(1, first=3))
    check(wire.close(), 1, "sequence 2: the record does not open")


@pytest.mark.parametrize("version", [V12, V13])
def test_repeated_sequence(check, version):
    key = Key(version)
    check(Wire().open().install(key).send(*key.records(2), *key.records(1)).close(), 1,
          "does not open")


def test_wrong_first_sequence(check):
    key = Key(seq=7)
    check(Wire().open().install(key).send(*key.records(1, first=0)).close(), 1, "does not open")


@pytest.mark.parametrize("inner", [b"\0\0\0", bytes(50)])
def test_no_content_type(check, inner):
    key = Key()
    check(Wire().open().install(key).send(key.record(b"", 0, inner=inner)).close(), 1,
          "no TLS 1.3 content type")


def test_too_long(check):
    key = Key()
    check(Wire().open().install(key).send(key.record(b"x" * 16385, 0)).close(), 1,
          "more than 2^14 bytes")


def cut(key):
    return Wire().open().install(key).send(*key.records(2), key.record(b"x" * 500, 2)[:300])


def test_cut_record_then_close(check):
    check(cut(Key()).close(), 1, "cut short")


def test_cut_record_then_reset(check):
    check(cut(Key()).reset(), 0, "cut by a reset 1")


def test_cut_record_at_the_end(check):
    check(cut(Key()), 0, "at the end of the capture 1")


def test_cut_record_of_a_killed_process(check):
    check(cut(Key()).close(exited=False), 0, "by a signal 1")


def test_out_of_order_and_repeated(check):
    key = Key()
    a, b, c = key.records(3)
    wire = Wire().open().install(key)
    wire.segment(b + c, at=len(a)).segment(a[:50], at=0).segment(a + b, at=0)
    check(wire.acknowledge().close(), 0, "3 records opened")


def test_changed_retransmission(check):
    key = Key()
    (a,) = key.records(1)
    wire = Wire().open().install(key).segment(a).segment(b"secret", at=20)
    check(wire.close(), 1, "other bytes")


def test_hole(check):
    key = Key()
    wire = Wire().open().install(key).send(*key.records(5)).acknowledge().close()
    del wire.packets[3]
    check(wire, 1, "missing from the capture")


def test_lost_tail(check):
    key = Key()
    wire = Wire().open().install(key).send(*key.records(5)).acknowledge()
    del wire.packets[-2]
    check(wire, 1, "not in the capture")


def test_lost_connection(check):
    key = Key()
    wire = Wire().open().install(key).send(*key.records(1)).close()
    check(wire, 1, "its connection is not in the capture", packets=[])


def test_no_key_proves_nothing(check):
    check(Wire().open().send(b"hello").close(), 2, "no TLS_TX key")


def test_receive_keys_are_not_checked_against_what_was_sent(check):
    key = Key()
    wire = Wire().open().install(key, direction="RX").send(b"plain")
    check(wire.close(), 2, "no TLS_TX key")


def test_capture_that_ends_inside_a_packet(check):
    key = Key()
    wire = Wire().open().install(key).send(*key.records(1))
    check(wire, 2, "ends inside a packet",
          packets=wire.packets[:-1] + [wire.packets[-1][:-3]])


def test_offsets_that_disagree(check):
    key = Key()
    wire = Wire().open().segment(b"abcdef").install(key, check=2).send(*key.records(1))
    check(wire.close(), 1, "disagree")


def test_a_port_pair_used_twice(check):
    first, second = Key(fill=1), Key(fill=2)
    wire = Wire().open().install(first).send(*first.records(2)).close()
    wire.isn = 12345
    wire.open().install(second, cookie=10).send(*second.records(3))
    check(wire.close(), 0, "2 directions with 2 keys: 5 records opened")


def test_key_update(check):
    old, new = Key(fill=1), Key(fill=3)
    wire = Wire().open().install(old).send(*old.records(2)).install(new).send(*new.records(2))
    check(wire.close(), 0, "with 2 keys: 4 records opened", "0 records of an old key")


def test_key_update_with_a_remainder_of_the_old_key(check):
    old, new = Key(fill=1), Key(fill=3)
    a, b, c = old.records(3)
    wire = Wire().open().install(old).send(a, b[:50]).install(new).send(b[50:], c)
    check(wire.send(*new.records(2)).close(), 0, "5 records opened", "1 records of an old key")


def test_old_key_after_the_new_one(check):
    old, new = Key(fill=1), Key(fill=3)
    wire = Wire().open().install(old).send(*old.records(1)).install(new)
    wire.send(*new.records(1), *old.records(1, first=1))
    check(wire.close(), 1, "does not open")


def test_key_update_that_skips_old_records(check):
    old, new = Key(fill=1), Key(fill=3)
    wire = Wire().open().install(old).send(*old.records(1)).install(new)
    wire.send(*old.records(1, first=2), *new.records(1))
    check(wire.close(), 1, "does not open")


def test_same_key_again_starts_its_sequence_again(check):
    key = Key()
    wire = Wire().open().install(key).send(*key.records(2)).install(key).send(*key.records(2))
    check(wire.close(), 0, "4 records opened")


def test_plaintext_between_two_keys(check):
    old, new = Key(fill=1), Key(fill=3)
    wire = Wire().open().install(old).send(*old.records(1), b"plain").install(new)
    check(wire.send(*new.records(1)).close(), 1, "no TLS record")
