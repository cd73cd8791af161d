# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tlsulp command: what it starts, what it refuses, and what it prints."""
import ctypes
import json
import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

import pytest

PYTHON = "/usr/bin/python3"
COUNTERS = """TlsCurrTxSw TlsCurrRxSw TlsCurrTxDevice TlsCurrRxDevice TlsTxSw TlsRxSw TlsTxDevice
TlsRxDevice TlsDecryptError TlsRxDeviceResync TlsDecryptRetry TlsRxNoPadViolation TlsRxRekeyOk
TlsRxRekeyError TlsTxRekeyOk TlsTxRekeyError TlsRxRekeyReceived""".split()
MAGIC = 0x54535441
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Proc(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("start", ctypes.c_uint64)]


class Conn(ctypes.Structure):
    _fields_ = [
        ("owner", ctypes.c_uint32), ("version", ctypes.c_uint16), ("cipher", ctypes.c_uint16),
        ("family", ctypes.c_uint8), ("tx_home", ctypes.c_uint8), ("rx_home", ctypes.c_uint8),
        ("pad", ctypes.c_uint8), ("local_port", ctypes.c_uint16), ("peer_port", ctypes.c_uint16),
        ("local_addr", ctypes.c_uint8 * 16), ("peer_addr", ctypes.c_uint8 * 16),
        ("tx_records", ctypes.c_uint64), ("tx_bytes", ctypes.c_uint64),
        ("rx_records", ctypes.c_uint64), ("rx_bytes", ctypes.c_uint64)]


class Region(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint32), ("version", ctypes.c_uint32), ("root_pid", ctypes.c_uint32),
        ("conns_lost", ctypes.c_uint32), ("root_start", ctypes.c_uint64),
        ("kernel_sessions", ctypes.c_uint64),
        ("counters", ctypes.c_uint64 * len(COUNTERS)), ("procs", Proc * 1024),
        ("conns", Conn * 16384)]


def proc_start(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2:].split()[19])


def stat_name(pid, start):
    return f"{os.stat('/proc/self/ns/pid').st_ino}-{pid}-{start}.stat"


def dead_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


@pytest.fixture
def rundir(tmp_path, monkeypatch):
    """A private XDG_RUNTIME_DIR; the value is the run directory that tlsulp makes in it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("TLSULP_MODE", "TLSULP_STAT", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "tlsulp"


def call(tlsulp, *args, **kwargs):
    return subprocess.run([tlsulp, *args], capture_output=True, text=True, timeout=60, **kwargs)


def write_region(rundir, region, name=None):
    rundir.mkdir(mode=0o700, exist_ok=True)
    path = rundir / (name or stat_name(region.root_pid, region.root_start))
    path.write_bytes(bytes(region))
    path.chmod(0o600)
    return path


def make_region(root, start=None):
    region = Region(magic=MAGIC, version=2, root_pid=root,
                    root_start=proc_start(root) if start is None else start)
    for i in range(len(COUNTERS)):
        region.counters[i] = 100 + i
    return region


def add_conn(region, slot, owner, family, local, peer, **fields):
    conn = region.conns[slot]
    conn.owner, conn.family = owner, family
    for name, (ip, port) in (("local", local), ("peer", peer)):
        raw = socket.inet_pton(family, ip)
        ctypes.memmove(getattr(conn, name + "_addr"), raw, len(raw))
        setattr(conn, name + "_port", port)
    for name, value in fields.items():
        setattr(conn, name, value)


def compiled(tmp_path, name, source, *flags):
    path = tmp_path / name
    subprocess.run(["gcc", "-x", "c", "-", "-o", str(path), *flags], input=source, text=True,
                   check=True)
    return path


# The command itself

def test_help_and_version(tlsulp):
    text = call(tlsulp, "--help")
    assert text.returncode == 0 and "tlsulp run" in text.stdout and "doctor" in text.stdout
    assert re.fullmatch(r"tlsulp \d+\.\d+\.\d+\n", call(tlsulp, "--version").stdout)
    for command in ("run", "stat", "doctor"):
        assert f"tlsulp {command}" in call(tlsulp, command, "--help").stdout


def test_wrong_usage(tlsulp):
    assert call(tlsulp).returncode == 1
    assert "use run, stat or doctor" in call(tlsulp, "runn").stderr
    assert call(tlsulp, "run").returncode == 125
    assert call(tlsulp, "run", "--nonsense", "true").returncode == 125
    wrong = call(tlsulp, "run", "--mode", "fast", "--", "true")
    assert wrong.returncode == 125 and "auto, user or kernel" in wrong.stderr
    assert call(tlsulp, "stat", "abc").returncode == 1
    assert call(tlsulp, "stat", "-1").returncode == 1
    assert call(tlsulp, "stat", "1", "2").returncode == 1


def test_full_disk_is_an_error(tlsulp):
    with open("/dev/full", "w") as full:
        done = subprocess.run([tlsulp, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "cannot write" in done.stderr


# run

def test_environment(tlsulp, build, rundir):
    done = call(tlsulp, "run", "--mode=user", "--", "env")
    env = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert env["LD_PRELOAD"] == f"{build}/libtlsulp.so"
    assert env["TLSULP_MODE"] == "user"
    assert os.path.dirname(env["TLSULP_STAT"]) == str(rundir)
    assert done.returncode == 0 and done.stderr == ""


def test_mode_from_environment(tlsulp, rundir):
    show = ["run", "sh", "-c", "echo $TLSULP_MODE"]
    assert call(tlsulp, *show).stdout == "auto\n"
    assert call(tlsulp, *show, env={**os.environ, "TLSULP_MODE": "kernel"}).stdout == "kernel\n"
    assert call(tlsulp, *show, env={**os.environ, "TLSULP_MODE": "no"}).returncode == 125
    wrong = call(tlsulp, *show, env={**os.environ, "TLSULP_AEAD": "no"})
    assert wrong.returncode == 125 and "libgcrypt" in wrong.stderr


def test_other_preloads_stay_and_ours_is_first(tlsulp, build, rundir, tmp_path):
    other = compiled(tmp_path, "other.so", "int tlsulp_other;", "-shared", "-fPIC")
    show = ["run", "--", tlsulp, "run", "--", "sh", "-c", "echo $LD_PRELOAD"]
    done = call(tlsulp, *show, env={**os.environ, "LD_PRELOAD": str(other)})
    assert done.stdout == f"{build}/libtlsulp.so:{other}\n"


def test_statistics_file(tlsulp, rundir):
    done = call(tlsulp, "run", "--", "sh", "-c", 'echo $$; stat -c "%a %s" "$TLSULP_STAT"; '
                'echo "$TLSULP_STAT"')
    pid, mode_size, path = done.stdout.splitlines()
    assert mode_size == f"600 {ctypes.sizeof(Region)}"
    assert stat.S_IMODE(rundir.stat().st_mode) == 0o700
    magic, version, root, _, _ = struct.unpack("=IIIIQ", open(path, "rb").read(24))
    assert (magic, version, root) == (MAGIC, 2, int(pid))


def test_stale_files_are_swept_and_others_stay(tlsulp, rundir):
    dead = dead_pid()
    stale = write_region(rundir, make_region(dead, start=1))
    reused = write_region(rundir, make_region(os.getpid(), start=1))
    worker = make_region(dead, start=2)
    worker.procs[7] = Proc(os.getpid(), 0, proc_start(os.getpid()))
    tree_lives = write_region(rundir, worker)
    root_lives = write_region(rundir, make_region(os.getpid()))
    future = make_region(dead, start=3)
    future.version = 99
    other_version = write_region(rundir, future)
    other_namespace = write_region(rundir, make_region(dead, start=4), f"1-{dead}-4.stat")
    not_ours = rundir / "notes.txt"
    not_ours.write_text("keep")
    empty = rundir / stat_name(dead, 5)
    empty.touch()
    assert call(tlsulp, "run", "true").returncode == 0
    assert not stale.exists() and not reused.exists() and not empty.exists()
    for path in (tree_lives, root_lives, other_version, other_namespace, not_ours):
        assert path.exists(), path


def test_symlinked_run_directory_is_refused(tlsulp, rundir, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    rundir.symlink_to("elsewhere")
    done = call(tlsulp, "run", "sh", "-c", "echo ${TLSULP_STAT-none}")
    assert done.returncode == 0 and done.stdout == "none\n"
    assert "symbolic link" in done.stderr and "without statistics" in done.stderr
    assert call(tlsulp, "run", "--stat", "true").returncode == 125
    assert not list((tmp_path / "elsewhere").iterdir())


def test_run_directory_that_others_can_write_is_refused(tlsulp, rundir):
    rundir.mkdir()
    rundir.chmod(0o777)
    done = call(tlsulp, "run", "true")
    assert done.returncode == 0 and "others can write" in done.stderr


def test_file_size_limit(tlsulp, rundir):
    show = ["run", "sh", "-c", "ulimit -f; test -n \"$TLSULP_STAT\" && echo yes"]
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limited(soft, most):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, most))

    soft = call(tlsulp, *show, preexec_fn=limited(1024, hard))
    assert soft.stdout == "2\nyes\n" and soft.stderr == ""
    both = call(tlsulp, *show, preexec_fn=limited(1024, 1024))
    assert both.stdout == "2\n" and "ulimit -f" in both.stderr


def test_nested_in_one_process_keeps_the_file(tlsulp, rundir):
    done = call(tlsulp, "run", "sh", "-c",
                f'echo $TLSULP_STAT; exec {tlsulp} run sh -c "echo \\$TLSULP_STAT"')
    first, second = done.stdout.split()
    assert first == second and len(list(rundir.iterdir())) == 1


@pytest.mark.parametrize("option", [[], ["--stat"]])
def test_exit_status(tlsulp, rundir, option):
    for status in (0, 1, 42, 255):
        assert call(tlsulp, "run", *option, "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("option", [[], ["--stat"]])
def test_death_by_signal(tlsulp, rundir, option):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGUSR1):
        done = call(tlsulp, "run", *option, "sh", "-c", f"kill -{int(number)} $$")
        assert done.returncode == -number


def test_pid_is_the_programs_own(tlsulp, rundir):
    child = subprocess.Popen([tlsulp, "run", "sh", "-c", "echo $$"], stdout=subprocess.PIPE,
                             text=True)
    assert child.communicate(timeout=60)[0] == f"{child.pid}\n"


def test_arguments_and_descriptors_pass_unchanged(tlsulp, rundir):
    args = ["", "a b", "--stat", "--", "-x", "*"]
    done = call(tlsulp, "run", "--", PYTHON, "-c", "import sys; print(sys.argv[1:])", *args,
                input="in")
    assert done.stdout == f"{args}\n"
    assert call(tlsulp, "run", "cat", input="in").stdout == "in"


@pytest.mark.parametrize("option", [[], ["--stat"]])
def test_missing_and_not_executable(tlsulp, rundir, tmp_path, option):
    missing = call(tlsulp, "run", *option, "--", "no-such-program-at-all")
    assert missing.returncode == 127 and "not found" in missing.stderr
    assert call(tlsulp, "run", *option, "--", str(tmp_path / "none")).returncode == 127
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    plain.chmod(0o644)
    denied = call(tlsulp, "run", *option, "--", str(plain))
    assert denied.returncode == 126 and "chmod +x" in denied.stderr
    assert call(tlsulp, "run", *option, "--", str(tmp_path)).returncode == 126
    plain.write_text("#!/no/such/interpreter\n")
    plain.chmod(0o755)
    assert call(tlsulp, "run", *option, "--", str(plain)).returncode == 127


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every directory")
def test_closed_directory_in_path(tlsulp, rundir, tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    env = {**os.environ, "PATH": f"{tmp_path}/closed:/usr/bin:/bin"}
    assert call(tlsulp, "run", "no-such-program-at-all", env=env).returncode == 127
    assert call(tlsulp, "run", "true", env=env).returncode == 0


def test_scripts(tlsulp, rundir, tmp_path):
    script = tmp_path / "script"
    for first in ("#!/bin/sh", "#! /bin/sh -e", "#!/usr/bin/env sh", "echo no interpreter line"):
        script.write_text(first + "\necho $TLSULP_MODE\n")
        script.chmod(0o755)
        done = call(tlsulp, "run", str(script))
        assert done.returncode == 0 and done.stdout.endswith("auto\n"), first


STATIC = '#include <stdio.h>\nint main(void) { puts("ran"); return 3; }\n'


@pytest.mark.parametrize("flags", [["-static"], ["-static-pie"]])
def test_static_program(tlsulp, rundir, tmp_path, flags):
    program = compiled(tmp_path, "static", STATIC, *flags)
    done = call(tlsulp, "run", str(program))
    assert done.returncode == 126 and done.stdout == ""
    assert "statically linked" in done.stderr and "modprobe tls" in done.stderr
    forced = call(tlsulp, "run", "--force", str(program))
    assert forced.returncode == 3 and forced.stdout == "ran\n"
    assert "statically linked" in forced.stderr
    doctor = call(tlsulp, "doctor", "--", str(program))
    assert "statically linked" in doctor.stdout
    script = tmp_path / "script"
    script.write_text(f"#!{program}\n")
    script.chmod(0o755)
    assert call(tlsulp, "run", str(script)).returncode == 126


@needs_root
def test_setuid_program(tlsulp, rundir, tmp_path):
    program = tmp_path / "setuid"
    shutil.copy("/bin/true", program)
    os.chown(program, pwd.getpwnam("nobody").pw_uid, -1)
    program.chmod(0o4755)
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        pytest.skip("the test directory is mounted nosuid")
    done = call(tlsulp, "run", str(program))
    assert done.returncode == 126 and "set-user-ID" in done.stderr
    assert "set-user-ID" in call(tlsulp, "doctor", str(program)).stdout
    os.chown(program, 0, -1)
    program.chmod(0o4755)
    assert call(tlsulp, "run", str(program)).returncode == 0
    assert "for other users" in call(tlsulp, "doctor", str(program)).stdout


@needs_root
def test_file_capabilities(tlsulp, build, tmp_path_factory):
    setcap = shutil.which("setcap", path="/sbin:/usr/sbin")
    if not setcap:
        pytest.skip("setcap is not installed")
    public = pathlib.Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        public.chmod(0o755)
        for path in (build / "tlsulp", pathlib.Path("/bin/true")):
            shutil.copy(path, public)
        shutil.copy(build / "libtlsulp.so", public)
        subprocess.run([setcap, "cap_net_bind_service=ep", str(public / "true")], check=True)
        uid = pwd.getpwnam("nobody").pw_uid
        done = subprocess.run([str(public / "tlsulp"), "run", str(public / "true")], user=uid,
                              capture_output=True, text=True)
        assert done.returncode == 126 and "capabilities" in done.stderr
    finally:
        shutil.rmtree(public)


def elf(path, **changes):
    """/bin/true's own header with fields changed, so that it is native but for those."""
    data = bytearray(pathlib.Path("/bin/true").read_bytes())
    for offset, value in changes.get("patches", {}).items():
        data[offset:offset + len(value)] = value
    path.write_bytes(data[:changes.get("length", len(data))])
    path.chmod(0o755)
    return path


def test_other_architecture(tlsulp, rundir, tmp_path):
    for patch in ({18: b"\xf3\x00"}, {4: b"\x01"}, {5: b"\x02"}):
        done = call(tlsulp, "run", str(elf(tmp_path / "alien", patches=patch)))
        assert done.returncode == 126 and "another architecture" in done.stderr


def test_other_libc(tlsulp, rundir, tmp_path):
    program = compiled(tmp_path, "musl", "int main(void) { return 0; }",
                       "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")
    done = call(tlsulp, "run", str(program))
    assert done.returncode == 126 and "musl" in done.stderr


def test_go_program(tlsulp, rundir, tmp_path):
    note = ('__asm__(".section .note.go.buildid,\\"a\\",@note\\n.long 4, 4, 4\\n'
            '.ascii \\"Go\\\\0\\\\0\\"\\n.long 0\\n.text");\nint main(void) { return 0; }\n')
    program = compiled(tmp_path, "go", note)
    done = call(tlsulp, "run", str(program))
    assert done.returncode == 126 and "Go program" in done.stderr


def test_damaged_files_never_crash_it(tlsulp, rundir, tmp_path):
    size = os.path.getsize("/bin/true")
    path = tmp_path / "damaged"
    for length in [0, 1, 4, 16, 20, 52, 63, 64, 65, 100, 500, 1000, 4096, size // 2, size - 1]:
        done = call(tlsulp, "doctor", "--", str(elf(path, length=length)))
        assert done.returncode in (0, 1), (length, done.stderr)
    huge = b"\xff" * 8
    for offset in [*range(16, 64, 2), *range(64, 64 + 13 * 56, 8)]:
        for value in (huge, b"\0" * 8, b"\xff\xff", b"\x7f" + huge[1:]):
            done = call(tlsulp, "doctor", "--", str(elf(path, patches={offset: value})))
            assert done.returncode in (0, 1), (offset, value, done.stderr)


# run --stat

def test_stat_prints_counters_and_removes_the_file(tlsulp, rundir):
    done = call(tlsulp, "run", "--stat", "--", "echo", "out")
    assert done.stdout == "out\n"
    lines = [line for line in done.stderr.splitlines() if line.startswith("Tls")]
    assert [line.split()[0] for line in lines] == COUNTERS
    assert not list(rundir.iterdir())


def test_stat_keeps_the_file_of_a_living_tree(tlsulp, rundir):
    done = call(tlsulp, "run", "--stat", "--", PYTHON, "-c", f"""
import struct, os, subprocess
child = subprocess.Popen(["sleep", "3"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
text = open(f"/proc/{{child.pid}}/stat").read()
with open(os.environ["TLSULP_STAT"], "r+b") as f:
    f.seek({Region.procs.offset + 16 * 1000})
    f.write(struct.pack("=IIQ", child.pid, 0, int(text[text.rindex(")") + 2:].split()[19])))
""")
    assert done.returncode == 0
    assert len(list(rundir.iterdir())) == 1


def test_stat_forwards_signals(tlsulp, rundir):
    program = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    child = subprocess.Popen([tlsulp, "run", "--stat", "sh", "-c", program], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)
    assert out == "got\n" and child.returncode == 7 and "TlsTxSw" in err


def test_stat_leaves_signal_state_as_it_was(tlsulp, rundir):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    show = ["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]
    plain = call(show[0], *show[1:], preexec_fn=ignore, restore_signals=False).stdout
    with_stat = call(tlsulp, "run", "--stat", *show, preexec_fn=ignore, restore_signals=False)
    assert with_stat.stdout == plain and with_stat.returncode == 0


# stat

@pytest.fixture
def sample(rundir):
    me = os.getpid()
    region = make_region(me)
    add_conn(region, 0, me, socket.AF_INET, ("127.0.0.1", 443), ("192.0.2.7", 50000),
             version=0x0303, cipher=51, tx_home=1, rx_home=1, tx_records=64, tx_bytes=1 << 20,
             rx_records=2, rx_bytes=300)
    add_conn(region, 5, me, socket.AF_INET6, ("::1", 8443), ("2001:db8::9", 65535),
             version=0x0304, cipher=54, tx_home=1, tx_bytes=2**64 - 1)
    add_conn(region, 6, dead_pid(), socket.AF_INET, ("127.0.0.1", 1), ("127.0.0.1", 2))
    add_conn(region, 16383, me, socket.AF_INET, ("127.0.0.1", 3), ("127.0.0.1", 4))
    region.kernel_sessions = 7
    write_region(rundir, region)
    return me


def test_stat_of_a_tree(tlsulp, sample):
    done = call(tlsulp, "stat", str(sample))
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    count = len(COUNTERS)
    assert lines[:count] == [f"{name:<32}\t{100 + i}" for i, name in enumerate(COUNTERS)]
    assert [line.split() for line in lines[count:]] == [
        "peer local version cipher tx-home rx-home tx-records tx-bytes rx-records rx-bytes".split(),
        ["192.0.2.7:50000", "127.0.0.1:443", "1.2", "AES-GCM-128", "user", "user", "64",
         "1048576", "2", "300"],
        ["[2001:db8::9]:65535", "[::1]:8443", "1.3", "CHACHA20-POLY1305", "user", "-", "0",
         "18446744073709551615", "0", "0"],
        ["127.0.0.1:4", "127.0.0.1:3", "-", "-", "-", "-", "0", "0", "0", "0"],
        "7 connections got the kernel's own ULP since the start; /proc/net/tls_stat counts them"
        .split()]


def test_stat_json(tlsulp, sample):
    done = call(tlsulp, "stat", "--json", str(sample))
    (tree,) = json.loads(done.stdout)["trees"]
    assert tree["pid"] == sample
    assert tree["counters"] == {name: 100 + i for i, name in enumerate(COUNTERS)}
    assert len(tree["connections"]) == 3
    assert tree["kernel_connections"] == 7
    assert tree["connections"][0] == {
        "pid": sample, "peer": "192.0.2.7:50000", "local": "127.0.0.1:443", "version": "1.2",
        "cipher": "AES-GCM-128", "tx_home": "user", "rx_home": "user", "tx_records": 64,
        "tx_bytes": 1 << 20, "rx_records": 2, "rx_bytes": 300}
    assert tree in json.loads(call(tlsulp, "stat", "--json").stdout)["trees"]


def test_json_escapes_the_programs_name(tlsulp, rundir, tmp_path):
    program = tmp_path / 'a"b\\c\n\xe9'
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([str(program), "60"])
    try:
        time.sleep(0.2)
        write_region(rundir, make_region(child.pid))
        trees = json.loads(call(tlsulp, "stat", "--json").stdout)["trees"]
        (tree,) = [t for t in trees if t["pid"] == child.pid]
        assert tree["program"].startswith('a"b\\c')
    finally:
        child.kill()
        child.wait()


def test_stat_finds_the_tree_by_any_of_its_processes(tlsulp, rundir):
    child = subprocess.Popen(["sleep", "60"])
    try:
        region = make_region(os.getpid())
        region.procs[1023] = Proc(child.pid, 0, proc_start(child.pid))
        write_region(rundir, region)
        assert call(tlsulp, "stat", str(child.pid)).returncode == 0
        region.procs[1023].start += 1
        write_region(rundir, region)
        assert call(tlsulp, "stat", str(child.pid)).returncode == 1
    finally:
        child.kill()
        child.wait()


def test_stat_names_a_daemon(tlsulp, rundir):
    """What was started has ended, as a daemon's first process does: the oldest that lives."""
    children = []
    try:
        for name in ("sleep", "tail"):
            children.append(subprocess.Popen([name, "60"] if name == "sleep" else
                                             [name, "-f", "/dev/null"]))
            time.sleep(0.05)
        region = make_region(dead_pid(), start=1)
        for i, child in enumerate(reversed(children)):
            region.procs[i] = Proc(child.pid, 0, proc_start(child.pid))
        write_region(rundir, region)
        assert f"tree {children[0].pid} sleep\n" in call(tlsulp, "stat").stdout
        (tree,) = json.loads(call(tlsulp, "stat", "--json", str(children[1].pid)).stdout)["trees"]
        assert (tree["pid"], tree["program"]) == (children[0].pid, "sleep")
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_stat_finds_the_tree_by_environment(tlsulp, rundir, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    child = subprocess.Popen([tlsulp, "run", "sleep", "60"],
                             env={**os.environ, "XDG_RUNTIME_DIR": str(other)})
    try:
        deadline = time.monotonic() + 30
        while call(tlsulp, "stat", str(child.pid)).returncode != 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        child.kill()
        child.wait()


def test_stat_lists_trees_newest_last(tlsulp, rundir):
    children = []
    try:
        for _ in range(3):
            children.append(subprocess.Popen(["sleep", "60"]))
            time.sleep(0.05)
        for child in reversed(children):
            write_region(rundir, make_region(child.pid))
        write_region(rundir, make_region(dead_pid(), start=1))
        done = call(tlsulp, "stat")
        heads = [line for line in done.stdout.splitlines() if line.startswith("tree ")]
        ours = [f"tree {child.pid} sleep" for child in children]
        assert [head for head in heads if head in ours] == ours
        assert len(set(heads)) == len(heads)
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_stat_errors_say_what_to_do(tlsulp, rundir):
    if json.loads(call(tlsulp, "stat", "--json").stdout) == {"trees": []}:  # nobody else's either
        nothing = call(tlsulp, "stat")
        assert nothing.returncode == 1 and "tlsulp run -- PROGRAM" in nothing.stderr
    gone = call(tlsulp, "stat", str(dead_pid()))
    assert gone.returncode == 1 and "there is no process" in gone.stderr
    outside = call(tlsulp, "stat", str(os.getpid()))
    assert outside.returncode == 1 and "does not run under tlsulp" in outside.stderr
    future = make_region(os.getpid())
    future.version = 3
    write_region(rundir, future)
    assert "another version" in call(tlsulp, "stat", str(os.getpid())).stderr
    assert "another version" in call(tlsulp, "stat").stderr


@needs_root
def test_stat_of_another_users_process(build, rundir):
    public = pathlib.Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        public.chmod(0o755)
        shutil.copy(build / "tlsulp", public)
        done = subprocess.run([str(public / "tlsulp"), "stat", str(os.getpid())], text=True,
                              capture_output=True, user=pwd.getpwnam("nobody").pw_uid)
        assert done.returncode == 1 and "another user" in done.stderr
    finally:
        shutil.rmtree(public)


def test_stat_survives_hostile_files(tlsulp, rundir):
    me, start = os.getpid(), proc_start(os.getpid())
    rundir.mkdir(mode=0o700)
    path = rundir / stat_name(me, start)
    for content in (b"", b"x", struct.pack("=II", MAGIC, 2), os.urandom(ctypes.sizeof(Region))):
        path.write_bytes(content)
        assert call(tlsulp, "stat", str(me)).returncode == 1
    path.unlink()
    os.mkfifo(path)
    assert call(tlsulp, "stat", str(me)).returncode == 1
    path.unlink()
    noise = bytearray(os.urandom(ctypes.sizeof(Region)))
    noise[:24] = struct.pack("=IIIIQ", MAGIC, 2, me, 0xffffffff, start)
    path.write_bytes(noise)
    assert call(tlsulp, "stat", str(me)).returncode == 0
    assert json.loads(call(tlsulp, "stat", "--json", str(me)).stdout)


# doctor

def test_doctor(tlsulp):
    done = call(tlsulp, "doctor")
    for part in ("kernel ", "TLS ULP", "CPU", "AEAD providers", "libcrypto", "io_uring"):
        assert part in done.stdout
    kernel = "  TLS ULP              yes" in done.stdout
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, \
                socket.create_connection(listener.getsockname()) as s:
            s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
            assert kernel
    except FileNotFoundError:
        assert not kernel
    assert done.returncode == 0, done.stdout


def test_doctor_heeds_what_run_does(tlsulp, tmp_path):
    """Its verdict is about `tlsulp run` in the same environment."""
    def doctor(command=tlsulp, **env):
        done = call(command, "doctor", env={**os.environ, **env})
        return done.returncode, done.stdout

    status, said = doctor(TLSULP_AEAD="foo", TLSULP_MODE="user")
    assert status == 1 and "there is no such library" in said
    status, said = doctor(TLSULP_AEAD="libcrypto", TLSULP_MODE="user")
    assert status == 0 and "no other is used" in said and "ipsec-mb" not in said
    assert "no provider for SM4-GCM" in said
    assert doctor(TLSULP_AEAD="", TLSULP_MODE="")[0] == 0
    status, said = doctor(TLSULP_MODE="no")
    assert status == 1 and "use auto, user or kernel" in said
    if "no TLS ULP" in call(tlsulp, "run", "--mode=kernel", "true").stderr:
        status, said = doctor(TLSULP_MODE="kernel")
        assert status == 1 and "modprobe tls" in said
    spaced = tmp_path / "a directory"
    spaced.mkdir()
    for name in ("tlsulp", "libtlsulp.so"):
        shutil.copy(pathlib.Path(tlsulp).parent / name, spaced)
    status, said = doctor(str(spaced / "tlsulp"), TLSULP_MODE="user")
    assert status == 1 and "space" in said
    assert call(tlsulp, "doctor", "a", "b").returncode == 1


def test_an_empty_mode_is_none(tlsulp):
    done = call(tlsulp, "run", "sh", "-c", "echo $TLSULP_MODE",
                env={**os.environ, "TLSULP_MODE": ""})
    assert done.stdout == "auto\n"


def test_stat_of_the_one_that_waits(tlsulp, rundir):
    """What the shell calls $! is `tlsulp run --stat` itself."""
    with subprocess.Popen([tlsulp, "run", "--stat", "sleep", "60"],
                          stderr=subprocess.DEVNULL) as waits:
        try:
            deadline = time.monotonic() + 30
            while call(tlsulp, "stat", str(waits.pid)).returncode:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            (tree,) = json.loads(call(tlsulp, "stat", "--json", str(waits.pid)).stdout)["trees"]
            assert tree["program"] == "sleep"
        finally:
            os.kill(tree["pid"], signal.SIGKILL)


def test_doctor_asks_the_kernel_even_under_the_preload(tlsulp, rundir):
    assert call(tlsulp, "run", tlsulp, "doctor").stdout == call(tlsulp, "doctor").stdout


def test_doctor_of_programs(tlsulp, rundir, tmp_path):
    nothing = call(tlsulp, "doctor", "--", "no-such-program-at-all")
    assert nothing.returncode == 1 and "was not found" in nothing.stdout
    plain = call(tlsulp, "doctor", "/bin/true")
    assert plain.returncode == 0 and "it can be preloaded" in plain.stdout
    ssl = call(tlsulp, "doctor", "openssl")
    assert ssl.returncode == 0 and "libssl.so.3" in ssl.stdout and "OPENSSL_CONF" in ssl.stdout
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env python3\n")
    script.chmod(0o755)
    text = call(tlsulp, "doctor", str(script), env={**os.environ, "PATH": "/usr/bin"}).stdout
    assert "runs /usr/bin/env" in text and "runs /usr/bin/python3" in text and "1 << 3" in text


def test_doctor_knows_nginx_and_io_uring(tlsulp, tmp_path):
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx:
        assert "ssl_conf_command Options KTLS" in call(tlsulp, "doctor", "--", nginx).stdout
    compiled(tmp_path, "liburing.so.2", "int ring(void) { return 0; }", "-shared", "-fPIC",
             "-Wl,-soname,liburing.so.2")
    program = compiled(tmp_path, "uses_ring", "int ring(void); int main(void) { return ring(); }",
                       "-x", "none", str(tmp_path / "liburing.so.2"))
    assert "cannot see io_uring" in call(tlsulp, "doctor", str(program)).stdout


@pytest.mark.parametrize("provider", ["ipsec-mb", "libcrypto"])
def test_doctor_names_the_package_of_a_missing_provider(tlsulp, provider):
    text = call(tlsulp, "doctor").stdout
    line = next(line for line in text.splitlines() if line.startswith(f"  {provider}"))
    assert re.search(r"\d|apt install|CPU", line)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
