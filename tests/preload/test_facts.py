# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""DESIGN.md's table of facts ("Hard-won facts"), a test or more for each row. Rows whose proof
is what the wire shows are in test_fail_closed.py, too; each test here says which row it is."""
import os
import socket
import subprocess
import time

import pytest

import wire

SLOW = 0.4


def after(text, *replies):
    """A script for a peer: once the program has sent @text, send @replies."""
    def script(conn):
        conn.wait(lambda c: c.end or text in c.text(whole=False))
        if conn.end:  # the program gave up, and says why
            return
        for reply in replies:
            if callable(reply):
                reply(conn.sock)
            else:
                conn.sock.sendall(reply)
    return script


def text_of(run, fact, arg="", env=None, status=0, **options):
    with wire.Peer(**options) as peer:
        run.run("facts", peer.port, fact, arg, env=env, status=status)
        return peer.ended(1, end=None).text()


def told(run, fact, arg="", **options):
    """(numbers that the program told, its connection)."""
    with wire.Peer(**options) as peer:
        done = subprocess.run(run.command("facts", peer.port, fact, arg), capture_output=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return [int(line) for line in done.stdout.split()], peer.ended(1)


def test_so_cookie_identifies_a_socket(run):
    """SO_COOKIE identifies a socket, across dup, fork and passing."""
    assert text_of(run, "cookie") == b""


def test_a_killed_reader_stops_nobody(run):
    """A signal that kills a waiting reader makes a robust lock "owner died"."""
    assert text_of(run, "killed_reader", script=after(b"go", wire.seal(1, 0, b"world"))) == b"go"


def test_two_readers_and_eintr(run):
    """pthread_mutex_lock does not return EINTR: a reader that waits behind another one must."""
    assert text_of(run, "eintr_two_readers") == b"ok"


def test_a_raw_clone3_child_shares_the_session(run):
    """Raw clone3 children skip atfork handlers."""
    assert text_of(run, "clone3", reply={1: wire.seal(1, 0, b"world")}) == b"parent child parent"


@pytest.mark.parametrize("how", ["recv", "recv restart", "send", "send restart"])
def test_a_signal_and_a_blocked_call(run, how):
    """EINTR without SA_RESTART, going on with it, for blocked recv and send (idea 4)."""
    if how == "send restart" and os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("the sanitizer has handlers without SA_RESTART")
    if "send" in how:
        with wire.Peer(rcvbuf=4096, hold=True) as peer:
            run.run("facts", peer.port, "signal", how)
            peer.release()
            peer.ended(1, end=None).records(whole=False)
    else:
        text = text_of(run, "signal", how, script=after(b"go", wire.seal(1, 0, b"world")))
        assert text == (b"gook" if "restart" in how else b"ok")


@pytest.mark.parametrize("how", ["", "restart", "part restart", "sandbox restart"])
def test_a_signal_ends_a_recv_that_has_got_something(run, how):
    """Whatever SA_RESTART says: tcp(7) gives the short count, also with MSG_WAITALL."""
    text = b"world" if "part" not in how else b"!world"
    script = after(b"go", wire.seal(1, 0, text))
    assert text_of(run, "waitall", how, script=script) == b"gook"


def test_a_wait_beside_the_error_queue_does_not_spin(run):
    script = after(b"go", wire.seal(1, 0, b"world"))
    assert text_of(run, "error_queue", script=script) == b"gook"


@pytest.mark.parametrize("how", ["recv", "send"])
def test_timeouts(run, how):
    """SO_RCVTIMEO and SO_SNDTIMEO as the kernel has them (idea 4)."""
    with wire.Peer(rcvbuf=4096, hold=how == "send") as peer:
        run.run("facts", peer.port, "timeout", how)


@pytest.mark.parametrize("how", ["recv", "poll"])
@pytest.mark.parametrize("where", ["between", "inside"])
def test_an_urgent_byte(run, how, where):
    """One urgent byte in the queue makes MSG_PEEK stop short while poll says readable."""
    first, second = wire.seal(1, 0, b"world"), wire.seal(1, 1, b"again")
    cut = 0 if where == "between" else 9

    def urgent(sock):
        time.sleep(0.05)
        sock.send(b"!", socket.MSG_OOB)
        time.sleep(0.1)

    script = after(b"go", first + second[:cut], urgent, second[cut:])
    if where == "inside":
        script = after(b"go", first[:cut], urgent, first[cut:] + second)
    assert text_of(run, "urgent", how, script=script) == b"gook"


@pytest.mark.parametrize("how", ["plain", "small", "program"])
def test_so_rcvlowat_and_the_receive_buffer(run, how):
    """SO_RCVLOWAT = INT_MAX grew the receive buffer from 128 KB to 33 MB, for good."""
    record = wire.seal(1, 0, bytes(16384))

    def rest(conn):
        after(b"go", record[:3000])(conn)
        after(b"rest", record[3000:])(conn)

    assert text_of(run, "rcvlowat", how, script=rest) == b"gorestok"


def test_so_rcvlowat_is_set_only_on_change(run, library):
    """Setting SO_RCVLOWAT costs 450 ns and fires edge-triggered epoll again."""
    if os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("the sanitizer's own calls go through the library that counts")
    count = str(run.directory / "count.so")
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", count,
                    wire.HERE / "progs" / "count.c"], check=True)
    records = b"".join(wire.seal(1, i, bytes(1000)) for i in range(2000))
    with wire.Peer(script=after(b"go", records)) as peer:
        done = subprocess.run([run.program("facts"), str(peer.port), "lowat_changes"],
                              env={**os.environ, "LD_PRELOAD": f"{library} {count}",
                                   "TLSULP_MODE": "user"},
                              stdout=subprocess.PIPE, timeout=wire.TIMEOUT, check=True)
    assert int(done.stdout) < 200


def test_epoll_after_close_with_a_rest(run):
    """With a duplicate alive after close, epoll goes on reporting the dead number and
    EPOLL_CTL_DEL fails; FIN waits for the duplicate."""
    (accepted,), conn = told(run, "epoll_after_close", rcvbuf=4096, slow=SLOW)
    assert len(conn.text()) == accepted


def test_so_sndbuf_grows_only_at_the_end(run):
    """Raising SO_SNDBUF let an 11 KB remainder in at once; setting it stops autotuning."""
    (accepted,), conn = told(run, "sndbuf", rcvbuf=4096, slow=SLOW)
    assert len(conn.text()) == accepted


def test_msg_eor_on_a_full_buffer(run):
    """One record a call with MSG_EOR: accepted records arrive whole."""
    (accepted,), conn = told(run, "eor", rcvbuf=4096)
    records = conn.records()
    assert {len(text) for _, text in records} == {5000} and len(records) * 5000 == accepted
    assert b"".join(text for _, text in records) == wire.fill(accepted)


def test_no_thread_without_a_rest(run):
    """A thread makes unshare(CLONE_NEWUSER) fail: there is none until there is a remainder."""
    with wire.Peer(reply={1: wire.seal(1, 0, b"world")}) as peer:
        done = subprocess.run(run.command("facts", peer.port, "newuser"), capture_output=True,
                              timeout=wire.TIMEOUT, check=False)
        if done.returncode == 77:
            pytest.skip("no user namespaces here")
        assert done.returncode == 0, done.stderr.decode()
        assert peer.ended(1).text() == wire.fill(1 << 20)


def test_rlimit_fsize(run):
    """A memfd under RLIMIT_FSIZE raises SIGXFSZ."""
    assert text_of(run, "fsize", reply={1: wire.seal(1, 0, b"world")}) == b"hello there"


def test_bad_pointers(run):
    """memcpy to the caller's bad pointer crashes where the kernel says EFAULT; nothing is lost."""
    assert text_of(run, "efault", reply={1: wire.seal(1, 0, b"world")}) == b"ok"


@pytest.mark.parametrize("mode", ["user", "auto"])
def test_a_key_update(run, mode):
    """Kernels before 6.14 refuse a key update (EBUSY): such sessions are never theirs."""
    with wire.Peer() as peer:
        subprocess.run(run.command("facts", peer.port, "rekey", mode=mode), check=True,
                       timeout=wire.TIMEOUT)
        records = peer.ended(1).records(rekeys=[2])
        assert records == [(wire.DATA, b"one "), (wire.DATA, b"two")]


def whole_calls(conn, told_m, told_other, other):
    """Each record holds bytes of one caller, and all of them are there."""
    counts = {"m": 0, other: 0}
    for _, text in conn.records():
        assert len(set(text)) == 1
        counts[chr(text[0])] += len(text)
    assert counts == {"m": told_m, other: told_other}


def test_send_in_a_signal_handler(run):
    """dlopen or malloc inside send deadlock in signal handlers."""
    (sent, handled), conn = told(run, "handler")
    whole_calls(conn, sent, handled, "h")


def test_fork_while_another_thread_sends(run):
    """dlopen or malloc inside send deadlock in fork children."""
    (sent, children), conn = told(run, "fork_while_sending")
    whole_calls(conn, sent, children, "c")


def test_cancellation_of_a_blocked_recv(run):
    """Locks are held with cancellation held off: a cancelled waiter leaves nothing locked."""
    assert text_of(run, "cancel", "recv", script=after(b"go", wire.seal(1, 0, b"world"))) == b"go"


def test_cancellation_of_a_blocked_send(run):
    text = text_of(run, "cancel", "send", rcvbuf=4096, slow=SLOW)
    assert text.endswith(b"go") and set(text[:-2]) == {0}
