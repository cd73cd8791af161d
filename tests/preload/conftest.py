# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The build directory (TLSULP_BUILD, else ./build) and a runner of this directory's programs."""
import os
import pathlib

import pytest

import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def library():
    path = pathlib.Path(os.environ.get("TLSULP_BUILD", ROOT / "build")).resolve()
    if not (path / "libtlsulp.so").exists():
        pytest.fail(f"{path}/libtlsulp.so is missing: run make, or set TLSULP_BUILD")
    return path / "libtlsulp.so"


@pytest.fixture(scope="session")
def run(library, tmp_path_factory):
    return wire.Runner(library.parent, tmp_path_factory.mktemp("progs"))
