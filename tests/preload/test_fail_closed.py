# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Fail closed: whatever a program does, the wire shows nothing but records that open, with
contiguous sequence numbers, and no byte of one connection in another."""
import os
import signal
import subprocess
import time


import pytest

import wire

PYTHON = "/usr/bin/python3"
LATER = 0.3  # for a thing that must still happen while the program waits

# A program of Python's: ctypes-free, the same calls as any TLS library makes.
SUBPROCESS = """
import socket, struct, subprocess, sys
tag = 1
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(bytes([tag]))
s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
info = struct.pack("HH", 0x304, 51) + b"\\x5a" * 8 + bytes([tag]) * 16 + bytes([tag]) * 4 + bytes(8)
s.setsockopt(282, 1, info)
s.sendall(b"before ")
subprocess.run(["true"], close_fds=True, check=True)
subprocess.run(["true"], close_fds=False, check=True)
subprocess.run(["sh", "-c", f"echo leak >&{s.fileno()}"], close_fds=False)
subprocess.run(["sh", "-c", f"echo leak >&{s.fileno()}"], pass_fds=[s.fileno()])
subprocess.run(["sh", "-c", "echo leak"], stdout=s.fileno())
s.sendall(b"after")
"""


def text_of(run, scene, arg="", env=None, status=0, **options):
    """The plaintext of tag 1's records after the scene."""
    with wire.Peer(**options) as peer:
        run.run("scenes", peer.port, scene, arg, env=env, status=status)
        return peer.ended(1).text()


# ---- children ----

@pytest.mark.parametrize("how", "close close_range closefrom dup2 syscall onto1".split())
def test_a_vfork_child_closes_everything(run, how):
    if os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("the child leaves the sanitizer's marks on the stack that both share")
    leak = b"leak\n" if how == "onto1" else b""
    assert text_of(run, "vfork", how) == b"before " + leak + b"after"


def test_pythons_subprocess(run):
    """Its sockets are close-on-exec: two of the three programs get it."""
    with wire.Peer() as peer:
        run.run(PYTHON, "-c", SUBPROCESS, peer.port)
        assert peer.ended(1).text() == b"before " + 2 * b"leak\n" + b"after"


@pytest.mark.parametrize("how", "spawn system popen std".split())
def test_a_spawned_child(run, how):
    leaks = 5 if how == "std" else 0
    assert text_of(run, "spawn", how) == b"before " + leaks * b"leak\n" + b"after"


@pytest.mark.parametrize("how, loads", [("system", 5), ("popen", 5), ("noenv", 0), ("mixed", 2)])
def test_threads_that_start_programs_at_once(run, how, loads):
    assert text_of(run, "spawners", how) == loads * 30 * b"x\n" + b"done"


def test_system_while_a_thread_closes_the_socket(run):
    with wire.Peer() as peer:
        run.run("scenes", peer.port, "system")
        assert peer.ended(1).text() == b""
        assert peer.ended(2).text() == b"ok"


def test_system_in_a_thread_that_is_cancelled(run):
    assert text_of(run, "system_cancel") == b"ok"


@pytest.mark.parametrize("how", "inherit dup2 fcntl".split())
def test_a_forked_child_becomes_another_program(run, how):
    leaks = 1 if how == "inherit" else 2
    assert text_of(run, "fork_exec", how) == leaks * b"leak\n" + b"after"


@pytest.mark.parametrize("how", "noenv static".split())
def test_a_program_without_the_library_gets_no_socket(run, how, tmp_path):
    static = tmp_path / "static"
    subprocess.run(["gcc", "-static", "-x", "c", "-", "-o", static], check=True, input=b"""
        #include <unistd.h>
        int main(void) { for (int fd = 0; fd < 100; fd++) if (write(fd, "leak", 4) < 0) {} }""")
    assert text_of(run, "fork_exec", how, env={"STATIC": str(static)}) == b"after"


# ---- hand-over ----

@pytest.mark.parametrize("how", "self child twice keyless untaken peek many truncated large".split())
def test_passing_the_socket(run, how):
    assert text_of(run, "rights", how) == b"first second third"


def test_passing_the_socket_to_a_program_without_the_library_is_refused(run):
    assert text_of(run, "rights", "refused") == b"ok"


@pytest.mark.parametrize("how", "exec fork_exec".split())
def test_a_session_goes_on_in_a_new_program(run, how):
    """With the record that MSG_MORE left open, and half of a record that was received."""
    reply = wire.seal_all(1, b"0123456789")
    assert text_of(run, "new_program", how, reply={1: reply}) == b"held 56789 after"


def test_a_hundred_and_fifty_sessions_go_on_in_a_new_program(run):
    with wire.Peer() as peer:
        run.run("scenes", peer.port, "many_go", 150)
        for tag in range(1, 151):
            assert peer.ended(tag).text() == b"before after"


# ---- stdio ----

@pytest.mark.parametrize("when", "before attached after unflushed".split())
def test_fdopen_and_fprintf(run, when):
    assert text_of(run, "fdopen", when) == b"hello there"


@pytest.mark.parametrize("how", "inherited later copy".split())
def test_standard_output_is_the_socket(run, how):
    text = text_of(run, "std", how)
    assert text == (b"held " if how == "later" else b"") + \
        b"out err perror: No such file or directory\nend"


def test_a_stale_file_writes_nothing(run):
    assert text_of(run, "stale_file") == b"held end"


def test_fclose_of_a_stale_file_closes_the_socket(run):
    with wire.Peer() as peer:
        program = run.start("scenes", peer.port, "stale_file", "fclose")
        try:
            assert peer.ended(1, timeout=5).text() == b"held end"
        finally:
            stop(program)


# ---- numbers ----

@pytest.mark.parametrize("how", "close close_range closefrom dup2 fclose syscall raw".split())
def test_a_reused_number_is_plain(run, how):
    with wire.Peer() as peer:
        run.run("scenes", peer.port, "reuse", how)
        assert peer.ended(1).text() == b"tls"
        assert peer.ended(wire.PLAIN).bytes == b"plain"


@pytest.mark.parametrize("how", "dup fcntl dup2 file rights".split())
def test_a_copy_from_before_the_ulp_has_it_too(run, how):
    assert text_of(run, "copy_before", how) == b"copy first"


def test_close_and_reuse_under_send_and_recv(run):
    rounds = 2000
    with wire.Peer() as peer:
        run.run("scenes", peer.port, "race", rounds, timeout=60)
        peer.wait_tags(rounds)
        plain = [conn for conn in peer.conns if conn.tag == wire.PLAIN]
        conns = [conn for conn in peer.conns if conn.tag != wire.PLAIN]
        for conn in conns + plain:
            conn.wait_end(None)
        for conn in conns:
            assert all(set(text) == {ord("x")} for _, text in conn.records(whole=False))
        assert {byte for conn in plain for byte in conn.bytes} == {ord("x")}
        assert sum(len(conn.bytes) for conn in conns) and sum(len(c.bytes) for c in plain)


# ---- what a preload cannot see ----

@pytest.mark.parametrize("how", ["syscall", "raw"])
def test_a_program_with_an_io_uring_gets_no_ulp(run, how):
    with wire.Peer() as peer:
        done = subprocess.run(run.command("scenes", peer.port, "uring", how),
                              capture_output=True, timeout=wire.TIMEOUT, check=False)
        if done.returncode == 77:
            pytest.skip("this kernel allows no io_uring")
        assert done.returncode == 2 and b"io_uring" in done.stderr
        assert peer.ended(1).bytes == b""


def test_it_gets_the_ulp_if_it_insists(run):
    with wire.Peer() as peer:
        run.run("scenes", peer.port, "uring", env={"TLSULP_IO_URING": "allow"}, status=None)
        conn = peer.all(1, timeout=3) if peer.conns else pytest.skip("no io_uring here")
        conn[0].wait_end()
        assert conn[0].text() == b"ok"


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_a_raw_write_ends_the_session_loudly(run, how):
    with wire.Peer() as peer:
        said = run.run("scenes", peer.port, "raw_write", how)
        assert "past libtlsulp" in said
        conn = peer.ended(1, end=None)
        assert conn.bytes.endswith(b"leak")  # nothing can stop these four bytes, and no more came
        conn.bytes = conn.bytes[:-4]
        assert conn.text() == b"before"


# ---- accepted means delivered ----

ENDS = """close close_exit shutdown exit return _exit quick_exit syscall exec poll sleep
thread_exit""".split()


def stop(program):
    program.send_signal(signal.SIGKILL)
    program.wait()


def delivered(run, scene, how, **options):
    """Everything that send() accepted arrives, while the peer reads late and slowly."""
    with wire.Peer(keep_open=True, **options) as peer:
        program = run.start("scenes", peer.port, scene, how, stdout=subprocess.PIPE)
        try:
            accepted = int(program.stdout.readline())
            conn = peer.one(1)
            if how in ("poll", "sleep"):  # they stay
                conn.wait(lambda c: len(c.text(whole=False)) >= accepted, timeout=10)
            else:
                conn.wait_end()
            return accepted, conn.text()
        finally:
            stop(program)


@pytest.mark.parametrize("how", ENDS)
def test_what_was_accepted_arrives(run, how):
    accepted, text = delivered(run, "full", how, rcvbuf=4096, slow=LATER)
    assert accepted > 5000 and text == wire.fill(len(text)) and len(text) == accepted


@pytest.mark.parametrize("how", [end for end in ENDS if end not in ("poll", "sleep")])
def test_what_msg_more_gathered_arrives(run, how):
    assert delivered(run, "more", how) == (5, b"hello")


def test_after_sigkill_there_is_a_prefix(run):
    with wire.Peer(rcvbuf=4096, slow=LATER) as peer:
        program = run.start("scenes", peer.port, "full", "kill", stdout=subprocess.PIPE)
        accepted = int(program.stdout.readline())
        conn = peer.ended(1, end=None)
        program.wait()
        text = conn.text(whole=False)
        assert 0 < len(text) <= accepted and text == wire.fill(len(text))


def test_linger_zero_resets_at_once(run):
    with wire.Peer(rcvbuf=4096, hold=True) as peer:
        started = time.monotonic()
        run.run("scenes", peer.port, "linger_zero")
        assert time.monotonic() - started < 3
        peer.release()
        peer.ended(1, end="reset").records(whole=False)


@pytest.mark.parametrize("how", ["_exit", "exec"])
def test_a_child_does_not_wait_for_its_parents_connection(run, how):
    with wire.Peer(rcvbuf=4096, hold=True) as peer:
        program = run.start("scenes", peer.port, "child_of_full", how, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        accepted = int(program.stdout.readline())
        time.sleep(LATER)
        started = time.monotonic()
        while program.poll() is None and time.monotonic() - started < 5:
            if time.monotonic() - started > 1:
                peer.release()  # now the parent may end as well
            time.sleep(0.05)
        peer.release()
        _, said = program.communicate(timeout=wire.TIMEOUT)
        assert program.returncode == 0, said
        assert len(peer.ended(1).text()) == accepted
