# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A pipe that feeds a TLS socket keeps its bytes in the process (user/tube.h); a new process that
gets the pipe, however it is made, finds them there (progs/pipes.c)."""
import os
import subprocess

import pytest

import wire

WAYS = "clone fork forkpty vfork spawn system popen wordexp exec daemon system-later".split()


@pytest.mark.parametrize("way", WAYS)
def test_a_new_process_finds_what_the_pipe_holds(run, way):
    if way == "vfork" and os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("the child leaves the sanitizer's marks on the stack that both share")
    with wire.Peer() as peer:
        done = subprocess.run(run.command("pipes", peer.port, way), capture_output=True,
                              timeout=wire.TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr.decode()
        if way == "system-later":
            assert peer.ended(1, end=None).text() == b"hel"
            assert peer.ended(2, end=None).text() == b"ok"
        else:
            assert peer.ended(1, end=None).text() == b"helok"
