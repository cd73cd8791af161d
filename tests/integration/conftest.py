# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What every integration test needs: the build directory (TLSULP_BUILD, else ./build), a
certificate, 100 MiB to send, and a launcher whose programs never outlive their test."""
import os
import pathlib
import shutil
import tempfile

import pytest

import support

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def build():
    path = pathlib.Path(os.environ.get("TLSULP_BUILD", ROOT / "build")).resolve()
    if not (path / "tlsulp").exists():
        pytest.fail(f"{path}/tlsulp is missing: run make, or set TLSULP_BUILD")
    return path


@pytest.fixture(scope="session")
def tlsulp(build):
    return str(build / "tlsulp")


def public_directory():
    """Unlike pytest's own, one that a server's unprivileged workers can enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="tlsulp-it."))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def shared_directory():
    path = public_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def certificate(shared_directory):
    return support.make_certificate(shared_directory)


@pytest.fixture(scope="session")
def payload(shared_directory):
    return support.make_payload(shared_directory / "payload", support.PAYLOAD_SIZE)


@pytest.fixture(scope="session")
def sample(shared_directory):
    """For gnutls-cli, which writes its output byte by byte."""
    return support.make_payload(shared_directory / "sample", 4 * support.MIB + 321)


@pytest.fixture
def directory():
    path = public_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def launcher(tlsulp, directory):
    programs = support.Launcher(tlsulp, directory)
    yield programs
    programs.finish()
