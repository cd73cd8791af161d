# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs that never touch TLS see no change under the preload: the same output, errors, exit
status, descriptors, threads and environment (but for tlsulp's own three variables)."""
import hashlib
import os
import pathlib
import re
import subprocess

import pytest

from support import (
    PYTHON, TIMEOUT, clean_environment, digest_of, free_port, nginx_config, start_nginx,
    unsanitized)

pytestmark = unsanitized  # it has handlers, memory and messages of its own
OWN_VARIABLES = {"LD_PRELOAD", "TLSULP_MODE", "TLSULP_STAT"}

SOCKETS = """
import select, socket, subprocess, threading
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.sendall(b"hello")
print(select.select([server], [], [], 10)[0] == [server], server.recv(100))
client.settimeout(0.01)
try:
    client.recv(1)
except TimeoutError as error:
    print(error)
data = bytes(range(256)) * 20000
thread = threading.Thread(target=server.sendall, args=(data,))
thread.start()
client.settimeout(60)
got = b""
while len(got) < len(data):
    got += client.recv(70000)
thread.join()
print(got == data)
epoll = select.epoll()
epoll.register(client, select.EPOLLIN)
server.close()
print(epoll.poll(10) == [(client.fileno(), select.EPOLLIN)], client.recv(1))
a, b = socket.socketpair()
socket.send_fds(a, [b"x"], [listener.fileno()])
print(socket.recv_fds(b, 10, 1)[1])
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 7)
print(client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))
print(subprocess.run(["sh", "-c", "cat; exit 3"], input=b"in", capture_output=True))
print(subprocess.run(["ls", "/proc/self/fd"], capture_output=True).stdout)
"""

FORKS = """
import multiprocessing, os, signal
def work(x):
    return x * x
with multiprocessing.get_context("fork").Pool(4) as pool:
    print(pool.map(work, range(100)))
with multiprocessing.get_context("spawn").Pool(2) as pool:
    print(pool.map(abs, range(-9, 0)))
pid = os.fork()
if not pid:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "kill -9 $$"], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
signal.signal(signal.SIGSEGV, signal.SIG_DFL)
print(signal.getsignal(signal.SIGSEGV), signal.getsignal(signal.SIGPIPE))
os.kill(os.getpid(), signal.SIGSEGV)
"""

PERL = r"""
use IO::Socket::INET; use IO::Select;
my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die;
my $pid = fork // die;
if (!$pid) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $l->sockport);
    print $c "line $_\n" for 1 .. 20000; shutdown($c, 1); print "child: " . <$c>; exit 5 }
my $s = $l->accept; my $sum = 0;
while (<$s>) { $sum += length } print $s "bye\n"; close $s;
waitpid $pid, 0; print "$sum ", $? >> 8, "\n"; print `echo from a shell`; exit 4
"""

COMPILE = ("printf '#include <stdio.h>\\nint main(void) { puts(\"built\"); return 9; }' >a.c && "
           "gcc -O2 -Wall a.c -o a && ./a")

GIT = """
git init -q . && git config user.name a && git config user.email a@b && echo x >f && git add f &&
GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000' git commit -q -m m &&
git log --format=%H && git clone -q . copy && git -C copy fsck && git -C copy rev-parse HEAD &&
git gc -q && git status --short && git show no-such-thing
"""

TAR = """
mkdir d && for i in 1 2 3; do head -c ${i}00000 /dev/zero >d/$i; done &&
touch -d @1700000000 d d/* &&
tar --sort=name --owner=0 --group=0 -czf a.tgz d && gzip -dc a.tgz | sha256sum &&
mkdir e && tar -C e -xf a.tgz && diff -r d e/d && tar -tvf a.tgz && tar -xf missing.tar
"""

COMMANDS = {
    "sockets": [PYTHON, "-c", SOCKETS],
    "forks": [PYTHON, "-c", FORKS],
    "perl": ["perl", "-e", PERL],
    "gcc": ["sh", "-c", COMPILE],
    "git": ["sh", "-c", GIT],
    "tar": ["sh", "-c", TAR],
    "bash": ["bash", "-c", "exec 5<>f; echo a >&5; cat f | tr a b; (exit 3); echo $?; echo <(:); "
             "coproc cat; echo x >&${COPROC[1]}; read -u ${COPROC[0]} y; echo $y; exit 6"],
    "ssh": ["ssh", "-V"],
    "ssh refused": ["ssh", "-F", "/dev/null", "-p", "1", "127.0.0.1"],
    "descriptors": ["sh", "-c", "ls /proc/self/fd; exec 3<&0 4>&1; ls /proc/self/fd"],
    "limited descriptors": ["sh", "-c", "ulimit -n 16; ls /proc/self/fd; ulimit -n"],
    "threads": [PYTHON, "-c", "import os; print(os.listdir('/proc/self/task') "
                "== [str(os.getpid())])"],
    "signals": ["grep", "-E", "^(Sig|Shd)(Blk|Ign|Cgt)", "/proc/self/status"],
    "closed output": ["sh", "-c", "exec 1>&- 2>&-; ls /; test $? = 2"],
    "broken pipe": ["bash", "-c", "yes | head -n 1; echo ${PIPESTATUS[@]}"],
    "find": ["sh", "-c", "find /usr/include -name 's*.h' | sort | sha256sum"],
    "no such option": ["ls", "--no-such-option"],
    "dd": ["dd", "if=/dev/zero", "of=/dev/full", "bs=1", "count=1", "status=none"],
    "curl refused": ["curl", "--noproxy", "*", "-sS", "http://127.0.0.1:1/"],
    "openssl": ["openssl", "dgst", "-sha256", "/etc/passwd"],
    "redis": ["redis-cli", "--version"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_same_as_without(launcher, directory, name):
    results = []
    for prefix in ([], [launcher.tlsulp, "run", "--"]):
        work = directory / "work"  # of the same name both times: it may be printed
        work.mkdir()
        done = subprocess.run([*prefix, *COMMANDS[name]], cwd=work, env=launcher.env,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
        results.append((done.returncode, done.stdout, done.stderr))
        work.rename(directory / f"work-{len(results)}")
    assert results[0] == results[1]


def test_environment(launcher):
    def environment(*prefix):
        text = subprocess.run([*prefix, "env", "-0"], env=launcher.env, check=True,
                              capture_output=True).stdout
        return dict(line.split(b"=", 1) for line in text.split(b"\0") if line)

    plain, under = environment(), environment(launcher.tlsulp, "run", "--")
    added = {name: under.pop(name) for name in set(under) - set(plain)}
    assert under == plain and {name.decode() for name in added} == OWN_VARIABLES


# Programs that stay

def shape(pid):
    """What a process looks like from outside."""
    base = pathlib.Path(f"/proc/{pid}")
    kinds = {int(fd.name): re.sub(r":\[.*|-\d+$", "", os.readlink(fd))
             for fd in (base / "fd").iterdir()}  # without inodes, and the numbers of our logs
    status = dict(line.split(":\t", 1) for line in (base / "status").read_text().splitlines()
                  if ":\t" in line)
    same = {name: status[name] for name in ("Threads", "SigBlk", "SigIgn", "SigCgt")}
    return kinds, same


def fetch(port, path, count=3):
    command = ["curl", "--noproxy", "*", "-sS", "--fail", "-i"]
    for _ in range(count):
        command += [f"http://127.0.0.1:{port}/{path}"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return hashlib.sha256(re.sub(rb"\r\nDate: [^\r]*", b"", done.stdout)).hexdigest()


def test_python_http_server(launcher, payload):
    seen = []
    for ulp in (False, True):
        port = free_port()
        server = launcher.start(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", port, ulp=ulp,
                                cwd=payload.path.parent, stdout=subprocess.PIPE)
        server.wait_for_port(port)
        answers = fetch(port, "payload")
        seen.append((answers, shape(server.pid)))
        server.stop()
    assert seen[0] == seen[1]


def test_curl_as_the_client(launcher, directory, payload):
    port = free_port()
    launcher.start(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", port,
                   cwd=payload.path.parent).wait_for_port(port)
    for target in (f"http://127.0.0.1:{port}/payload", f"file://{payload.path}"):
        got = directory / "got"
        curl = launcher.start("curl", "--noproxy", "*", "-sS", "--fail", "-o", got, target,
                              ulp=True)
        curl.expect_exit(0)
        assert digest_of(got) == payload.digest and curl.errors() == ""


def test_nginx_without_tls(launcher, directory, payload):
    seen = []
    for ulp in (False, True):
        port = free_port()
        nginx = start_nginx(launcher, nginx_config(directory, f"""server {{
            listen 127.0.0.1:{port};
            root {payload.path.parent};
        }}"""), port, ulp=ulp)
        children = pathlib.Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children")
        answers = fetch(port, "payload")
        worker = int(children.read_text().split()[0])
        seen.append((answers, shape(nginx.pid), shape(worker)))
        if ulp:
            assert set(nginx.counters().values()) == {0} and not nginx.connections()
        assert nginx.stop() == 0
        assert nginx.errors() == ""
    assert seen[0] == seen[1]


def test_this_check_can_fail(launcher):
    """The comparison notices a descriptor and a signal handler more."""
    programs = [
        launcher.start(PYTHON, "-c", f"import os, signal, time; {extra}; print(1); time.sleep(60)",
                       stdout=subprocess.PIPE, env={"PYTHONUNBUFFERED": "1"})
        for extra in ("pass", "os.dup(0)", "signal.signal(signal.SIGUSR1, print)")]
    for program in programs:
        assert program.popen.stdout.readline() == b"1\n"
    plain, descriptor, handler = (shape(program.pid) for program in programs)
    assert plain[0] != descriptor[0] and plain[1] == descriptor[1]
    assert plain[0] == handler[0] and plain[1] != handler[1]
