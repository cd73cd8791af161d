# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the two ends of each test live, and their programs.

Without TLSULP_BUILD13 both ends are this machine's. With it (a build tree made by `make
debian13`) at least one of them is Debian 13's. The fixtures of tests/integration are used.
"""
import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTEGRATION = ROOT / "tests" / "integration"
sys.path.append(str(INTEGRATION))


def load_fixtures():
    spec = importlib.util.spec_from_file_location("integration_conftest",
                                                  INTEGRATION / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_shared = load_fixtures()
build, tlsulp = _shared.build, _shared.tlsulp
shared_directory, certificate = _shared.shared_directory, _shared.certificate
directory, launcher = _shared.directory, _shared.launcher

import talk  # noqa: E402  (needs the path above)

BUILD13 = os.environ.get("TLSULP_BUILD13")
PAIRS = [("here", "here")]
collect_ignore = [] if BUILD13 else ["test_ktls.py"]
if BUILD13:
    PAIRS = [("here", "debian13"), ("debian13", "here"), ("debian13", "debian13")]


@pytest.fixture(scope="session")
def places(build, shared_directory):
    known = {"here": talk.Place("here", [], build, shared_directory)}
    if BUILD13:
        inside = [str(ROOT / "tools" / "debian13.sh"), "run"]
        known["debian13"] = talk.Place("debian13", inside, pathlib.Path(BUILD13).resolve(),
                                       shared_directory)
        release = subprocess.check_output(known["debian13"].command("cat", "/etc/debian_version"))
        assert release.startswith(b"13.")
    return known


@pytest.fixture(scope="session", params=PAIRS, ids="-".join)
def ends(request, places):
    """(where the program on tlsulp lives, where its peer does)"""
    return tuple(places[name] for name in request.param)


@pytest.fixture(scope="session", params=["debian13" if BUILD13 else "here"])
def place(request, places):
    return places[request.param]


@pytest.fixture(scope="session")
def parcels(shared_directory):
    """Files to send, one of them in records of one byte."""
    return talk.make_parcels(shared_directory)
