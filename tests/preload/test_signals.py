# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Handlers of signals that come in the midst of the library's work: none is lost, none runs inside
a change, and the wire shows whole records."""
import time

import pytest

import wire


def text_of(run, scene, arg="", status=0):
    with wire.Peer() as peer:
        run.run("signals", peer.port, scene, arg, status=status)
        return peer.ended(1, end=None).text()


@pytest.mark.parametrize("scene", ["storm", "mask"])
def test_a_handler_sends_on_the_same_socket(run, scene):
    text, ran = text_of(run, scene).split()
    assert text.count(b"m") == 60000
    assert text.count(b"h") == int(ran) > 0


def test_queued_signals_come_once_and_in_order(run):
    assert text_of(run, "queue").endswith(b" ok")


def test_a_handler_that_is_set_for_one_signal(run):
    assert text_of(run, "once") == b"ok"


def test_only_a_handler_without_sa_restart_interrupts_recv(run):
    with wire.Peer() as peer:
        run.run("signals", peer.port, "restart", "recv")


def test_only_a_handler_without_sa_restart_interrupts_send(run):
    with wire.Peer(rcvbuf=4096, hold=True) as peer:
        run.run("signals", peer.port, "restart", "send")


def test_a_child_that_a_signal_ends_leaves_the_connection_whole(run):
    text = text_of(run, "ended")
    assert text.count(b"p") == 200


@pytest.mark.parametrize("scene", ["jump", "cancel"])
@pytest.mark.parametrize("call", ["recv", "send"])
def test_a_call_that_does_not_come_back_does_not_keep_the_socket(run, scene, call):
    with wire.Peer(rcvbuf=4096, hold=call == "send") as peer:
        program = run.start("signals", peer.port, scene, call)
        try:
            if call == "send":
                time.sleep(1)
                peer.release()
            assert not peer.ended(1).text().strip(b"\0")
            assert program.poll() is None
        finally:
            program.kill()
            program.wait()


def test_a_thread_is_not_cancelled_inside_of_a_change(run):
    with wire.Peer(reply={1: b"\x17\x02\x00\x00\x20"}) as peer:
        run.run("signals", peer.port, "inside")
        assert peer.ended(1).text() == b"ok"


def test_a_child_sets_handlers(run):
    assert text_of(run, "fork") == b"ok"
