# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A table over all that libc exports (libc_names.txt): each function is wrapped and tested, or
there is a reason why it cannot reach a TLS socket's bytes or number."""
import fnmatch
import pathlib
import re
import subprocess

import os

import pytest

import wire

TABLE = pathlib.Path(__file__).with_name("libc_names.txt")
LIBRARIES = "libc.so.6 libpthread.so.0 librt.so.1 libanl.so.1 libutil.so.1 libdl.so.2 libresolv.so.2"
SENDERS = """write __write writev pwritev2 pwritev64v2 send __send sendto sendmsg sendmmsg sendfile
sendfile64 splice tee vmsplice ioctl clone __clone _Fork fdopen _IO_fdopen dprintf __dprintf_chk vdprintf __vdprintf_chk syscall""".split()
READERS = """read __read __read_chk readv preadv2 preadv64v2 recv __recv_chk recvfrom
__recvfrom_chk recvmsg recvmmsg poll __poll __poll_chk ppoll __ppoll_chk select __select pselect
epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd_read""".split()
# Here the new program has the socket: its environment, or the shell's, is the program's own.
PASSERS = """execv execvp execl execlp posix_spawn_file_actions_adddup2 system popen
_IO_popen pclose vfork __vfork""".split()
CLOSERS = """close __close close_range closefrom dup2 __dup2 dup3 fclose _IO_fclose freopen
freopen64 socket""".split()


class Table:
    """{name: reason} of plain names; [(pattern, reason)]."""

    def __init__(self):
        self.plain, self.patterns, self.twice = {}, [], []
        reason = None
        for line in TABLE.read_text().splitlines():
            if line.startswith("["):
                reason = line.strip("[]")
                continue
            for name in [] if line.startswith("#") else line.split():
                if re.search(r"[*?[]", name):
                    self.patterns.append((name, reason))
                elif self.plain.setdefault(name, reason) != reason:
                    self.twice.append(name)

    def reason(self, name):
        if name in self.plain:
            return self.plain[name]
        return next((why for pattern, why in self.patterns if fnmatch.fnmatchcase(name, pattern)),
                    None)

    def wrapped(self):
        return self.with_reason("wrapped") + self.with_reason(NEW)

    def with_reason(self, reason):
        return [name for name, why in self.plain.items() if why == reason]


NEW = "wrapped where libc has it"
TABLE_OF_NAMES = Table()


def functions(library, private=False):
    """Functions that a program may link against or find with dlsym()."""
    out = subprocess.run(["readelf", "-W", "--dyn-syms", library], capture_output=True, text=True,
                         check=True).stdout
    names = set()
    for line in out.splitlines():
        field = line.split()
        if len(field) < 8 or field[3] not in ("FUNC", "IFUNC") or field[6] == "UND":
            continue
        if private or not field[7].endswith("@GLIBC_PRIVATE"):
            names.add(field[7].split("@")[0])
    return names


def libraries():
    """The running libc, and the libraries beside it that hold parts of it (or only names)."""
    libc = next(line.split()[-1] for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
                if re.search(r"/libc(\.|-).*so", line))
    return [path for path in (pathlib.Path(libc).with_name(name) for name in LIBRARIES.split())
            if path.exists()]


def test_every_function_of_libc_is_wrapped_or_has_a_reason():
    unknown = {name for library in libraries() for name in functions(library)
               if TABLE_OF_NAMES.reason(name) is None}
    assert not unknown, f"put them into {TABLE.name}: {' '.join(sorted(unknown))}"


def test_no_name_is_in_the_table_twice():
    assert not TABLE_OF_NAMES.twice


def test_the_library_exports_what_the_table_says(library):
    exported = {name for name in functions(library) if not name.startswith("tlsulp_")}
    there = {name for library in libraries() for name in functions(library)}
    new = set(TABLE_OF_NAMES.with_reason(NEW))
    assert exported == set(TABLE_OF_NAMES.wrapped()) - (new - there)


def test_private_names_of_libc_are_not_for_programs():
    """GLIBC_PRIVATE: only libc's own parts may use them; if a plain name goes private, it must
    not have been wrapped."""
    private = {name for library in libraries() for name in functions(library, private=True)}
    public = {name for library in libraries() for name in functions(library)}
    assert not [name for name in TABLE_OF_NAMES.wrapped() if name in private - public]


@pytest.mark.parametrize("name", TABLE_OF_NAMES.wrapped())
def test_a_wrapped_name_on_a_tls_socket(run, name):
    if name in ("signal", "sigaction") and os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("the sanitizer has handlers of SIGSEGV itself")
    if "vfork" in name and os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("the child leaves the sanitizer's marks on the stack that both share")
    reply = {}
    if name in READERS:
        reply = {1: wire.seal_all(1, b"world", b"never whole")[:-8]}
    with wire.Peer(reply=reply) as peer:
        done = subprocess.run(run.command("calls", peer.port, name), capture_output=True,
                              timeout=wire.TIMEOUT, check=False)
        if done.returncode == 77:
            pytest.skip("this libc has no such function")
        if (name.startswith("exec") or name == "fexecve") and name not in PASSERS:
            assert done.returncode, "the new program had the socket"
        else:
            assert done.returncode == 0, done.stderr.decode()
        text = peer.ended(1, end=None).text()
        if name == "eventfd_write":
            assert text == b"hello\0\0\0"
        elif "backtrace" in name:
            assert text.endswith(b"\n")
        elif name in PASSERS:
            assert text in (b"okleak\n", b"leak\nok")
        else:
            assert text == (b"hello" if name in SENDERS else b"ok")
        if name in CLOSERS:
            plain = peer.one(wire.PLAIN)
            plain.wait_end()
            assert plain.bytes == b"plain"
        assert len(peer.conns) == 1 + (name in CLOSERS)
