# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`make install` puts everything where a program can be built and run against it."""

import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def prefix(build, tmp_path_factory):
    """An installation below a DESTDIR, as a package is made."""
    if os.environ.get("TLSULP_SANITIZER"):
        pytest.skip("nobody installs a build with a sanitizer")
    dest = tmp_path_factory.mktemp("dest")
    subprocess.run(
        ["meson", "install", "-C", str(build), "--no-rebuild", "--quiet"],
        check=True, env=dict(os.environ, DESTDIR=str(dest)), stdout=subprocess.DEVNULL,
    )
    (command,) = dest.rglob("bin/tlsulp")
    return command.parents[1]


def installed_library(prefix):
    (library,) = prefix.rglob("libtlsulp.so")
    return library


def test_the_installed_files(prefix):
    names = {p.name for p in prefix.rglob("*") if p.is_file()}
    assert {"tlsulp", "libtlsulp.so", "tlsulp.h", "tlsulp.pc", "tlsulp.1", "tlsulp.7"} <= {
        n.removesuffix(".gz") for n in names
    }


def test_the_installed_command_finds_its_library(prefix, build):
    env = dict(os.environ, TLSULP_LIB=str(installed_library(prefix)))
    done = subprocess.run(
        [str(prefix / "bin" / "tlsulp"), "run", "--mode", "user", "--",
         str(build / "examples" / "hello")],
        capture_output=True, text=True, env=env, timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "hello world\n"), done.stderr


def test_a_program_links_by_pkg_config(prefix, tmp_path):
    (pc,) = prefix.rglob("tlsulp.pc")
    sysroot = str(prefix).removesuffix("/usr/local")
    env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent), PKG_CONFIG_SYSROOT_DIR=sysroot)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "tlsulp"],
        check=True, capture_output=True, text=True, env=env,
    ).stdout.split()
    program = tmp_path / "linked"
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", str(program), str(HERE / "progs" / "linked.c"), *flags], check=True)
    done = subprocess.run(
        [str(program)], capture_output=True, text=True, timeout=60,
        env=dict(os.environ, LD_LIBRARY_PATH=str(installed_library(prefix).parent), TLSULP_MODE="user"),
    )
    assert (done.returncode, done.stdout) == (0, "0.1.0 linked 1 1\n"), done.stderr
