# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A program that runs itself anew with an environment of its own (progs/again.c)."""
import os
import subprocess

import pytest

import wire

pytestmark = pytest.mark.skipif("TLSULP_SANITIZER" in os.environ,
                                reason="its options are in the environment")


def run_again(run, way):
    with wire.Peer() as peer:
        done = subprocess.run(run.command("again", peer.port, way), capture_output=True,
                              timeout=wire.TIMEOUT, check=False)
        return done, peer.ended(1, end=None).text() if done.returncode == 0 else b""


@pytest.mark.parametrize("way", ["small", "none"])
def test_it_keeps_the_ulp(run, way):
    done, text = run_again(run, way)
    assert done.returncode == 0, done.stderr.decode()
    assert text == b"ok"


@pytest.mark.parametrize("way", ["other", "unset"])
def test_unless_it_says_what_is_to_be_preloaded(run, way):
    done, _ = run_again(run, way)
    assert done.returncode != 0
