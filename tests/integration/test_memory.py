# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""No leak and no growth over many connections."""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def connections(tmp_path_factory):
    program = tmp_path_factory.mktemp("progs") / "connections"
    subprocess.run(
        ["gcc", "-O1", "-g", "-I", str(HERE.parents[1]), "-o", str(program),
         str(HERE / "progs" / "connections.c"), "-lpthread"],
        check=True,
    )
    return str(program)


def test_valgrind_shows_no_leak_after_1000_connections(tlsulp, connections):
    if os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("valgrind and a sanitizer do not go together")
    done = subprocess.run(
        [tlsulp, "run", "--mode", "user", "--", "valgrind", "--quiet", "--leak-check=full",
         "--errors-for-leak-kinds=definite,indirect,possible", "--error-exitcode=9",
         connections, "1000"],
        capture_output=True, text=True, timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_counters_of_threads_return_to_zero(tlsulp, connections):
    done = subprocess.run(
        [tlsulp, "run", "--mode", "user", "--stat", "--", connections, "300", "4"],
        capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for name, value in {"TlsCurrTxSw": 0, "TlsCurrRxSw": 0, "TlsTxSw": 2400, "TlsRxSw": 2400}.items():
        assert int(re.search(rf"^{name}\s+(\d+)", done.stderr, re.M).group(1)) == value
