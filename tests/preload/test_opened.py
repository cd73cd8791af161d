# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A program that opens the library with dlopen() and calls it by its own names (progs/opened.c)."""
import os
import subprocess

import pytest

import wire


@pytest.mark.skipif("TLSULP_SANITIZER" in os.environ, reason="a sanitizer has to come first")
def test_opened_by_the_program(run, library):
    with wire.Peer() as peer:
        done = subprocess.run([run.program("opened"), str(peer.port), str(library)],
                              env={**os.environ, "TLSULP_MODE": "user"}, capture_output=True,
                              timeout=wire.TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert peer.ended(1, end=None).text() == b"ok"
