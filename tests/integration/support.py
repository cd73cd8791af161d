# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs under tlsulp, their peers, and the proof that the ULP carried their bytes.

Programs fall back to their own record layer silently, so equal checksums prove nothing:
expect_carried() compares the number of installed keys and the bytes of the connections, as
`tlsulp stat --json` shows them while those connections are open.
"""
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

PYTHON = "/usr/bin/python3"  # Debian's, which is linked with Debian's OpenSSL
PROGS = pathlib.Path(__file__).parent / "progs"
SANITIZED = bool(os.environ.get("TLSULP_SANITIZER"))
MIB = 1 << 20
PAYLOAD_SIZE = (16 if SANITIZED else 100) * MIB + 12345
TIMEOUT = int(os.environ.get("TLSULP_TEST_TIMEOUT", 300 if SANITIZED else 60))
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
BLOCK = 256 << 10
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

# What OpenSSL, and `tlsulp stat`, call the ciphers that both of them have. (TLS 1.3 with AES-CCM
# is not among them: OpenSSL 3.0 asks the ULP for AES-CCM in TLS 1.2 alone.)
CIPHERS = {
    "1.2": {
        "ECDHE-ECDSA-AES128-GCM-SHA256": "AES-GCM-128",
        "ECDHE-ECDSA-AES256-GCM-SHA384": "AES-GCM-256",
        "ECDHE-ECDSA-CHACHA20-POLY1305": "CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-CCM": "AES-CCM-128",
    },
    "1.3": {
        "TLS_AES_128_GCM_SHA256": "AES-GCM-128",
        "TLS_AES_256_GCM_SHA384": "AES-GCM-256",
        "TLS_CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    },
}
# The sanitizers' runtime comes into the programs late, through the library: not all bear it.
unsanitized = pytest.mark.skipif(SANITIZED, reason="the sanitizers' runtime disturbs this program")
both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])


def rx_keys(version, connections=1):
    """OpenSSL 3.0 hands the ULP no receive keys of TLS 1.3: it opens those records itself."""
    return connections if version == "1.2" else 0


@dataclasses.dataclass
class Certificate:
    cert: pathlib.Path
    key: pathlib.Path
    both: pathlib.Path


@dataclasses.dataclass
class Payload:
    path: pathlib.Path
    size: int
    digest: str


def make_certificate(directory):
    cert, key, both = (directory / name for name in ("cert.pem", "key.pem", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    key.chmod(0o644)
    return Certificate(cert, key, both)


def make_payload(path, size):
    data = os.urandom(size)
    path.write_bytes(data)
    return Payload(path, size, hashlib.sha256(data).hexdigest())


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def openssl_config(directory, version=None):
    """An OPENSSL_CONF that switches kTLS on, and fixes the version if one is given."""
    path = directory / f"openssl-{version}.cnf"
    lines = ["openssl_conf = d", "[d]", "ssl_conf = s", "[s]", "system_default = x", "[x]",
             "Options = KTLS"]
    if version:
        lines += [f"MinProtocol = TLSv{version}", f"MaxProtocol = TLSv{version}"]
    path.write_text("\n".join(lines) + "\n")
    return path


# Ports

_given_ports = set()


def free_port():
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def is_listening(port):
    """Without connecting: some of the programs accept a single connection."""
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if state == "0A" and int(local.rsplit(":", 1)[1], 16) == port:
                return True
    return False


def wait_until(condition, what, patience=TIMEOUT):
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


# Programs

def clean_environment():
    env = {name: value for name, value in os.environ.items()
           if name != "LD_PRELOAD" and not name.startswith(("TLSULP_STAT", "TLSULP_MODE"))}
    env.update(PATH=PATH, LC_ALL="C.UTF-8")
    return env


class Program:
    """A started program; its tree's counters, if it was started under tlsulp."""

    def __init__(self, popen, log, tlsulp, env):
        self.popen, self.log, self.tlsulp, self.env = popen, log, tlsulp, env
        self.pid = popen.pid

    def errors(self):
        return self.log.read_text(errors="replace")

    def tree(self):
        done = subprocess.run([self.tlsulp, "stat", "--json", str(self.pid)], env=self.env,
                              capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, f"tlsulp stat {self.pid}: {done.stderr}{self.errors()}"
        trees = json.loads(done.stdout)["trees"]
        assert len(trees) == 1
        return trees[0]

    def counters(self):
        return self.tree()["counters"]

    def connections(self):
        return self.tree()["connections"]

    def wait_for_port(self, port):
        def ready():
            assert self.popen.poll() is None, f"{self.popen.args} ended: {self.errors()}"
            return is_listening(port)

        wait_until(ready, f"port {port} of {self.popen.args}: {self.errors()}")
        return self

    def expect_exit(self, status=0):
        code = self.popen.wait(timeout=TIMEOUT)
        assert code == status, f"{self.popen.args} ended with {code}: {self.errors()}"

    def stop(self, number=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(timeout=TIMEOUT)


class Launcher:
    """Starts programs in process groups of their own and ends them all with the test."""

    def __init__(self, tlsulp, directory):
        self.tlsulp, self.directory = tlsulp, directory
        self.programs, self.groups = [], []
        # Whoever waits for a pipe is freed when its writer is killed.
        self.hung = False
        self.watchdog = threading.Timer(2 * TIMEOUT, self._give_up)
        self.watchdog.daemon = True
        self.watchdog.start()
        runtime = directory / "runtime"
        runtime.mkdir(mode=0o700)
        self.env = {**clean_environment(), "XDG_RUNTIME_DIR": str(runtime)}

    def start(self, *command, ulp=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
              env=None, cwd=None):
        log = self.directory / f"stderr-{len(self.programs)}"
        if ulp:
            command = (self.tlsulp, "run", "--mode", "user", "--", *command)
        environment = {**self.env, **{k: str(v) for k, v in (env or {}).items()}}
        with open(log, "wb") as errors:
            popen = subprocess.Popen([str(word) for word in command], stdin=stdin, stdout=stdout,
                                     stderr=errors, env=environment, cwd=cwd or self.directory,
                                     start_new_session=True)
        program = Program(popen, log, self.tlsulp, self.env)
        self.programs.append(program)
        self.groups.append(popen.pid)
        return program

    def adopt_group(self, pid):
        self.groups.append(pid)

    def _give_up(self):
        self.hung = True
        self._kill()

    def _kill(self):
        """Programs move to other groups: find them by session, or by our directory's name."""
        marker = f"XDG_RUNTIME_DIR={self.env['XDG_RUNTIME_DIR']}\0".encode()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                session = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[3])
                if session in self.groups or marker in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ValueError):
                pass  # gone

    def finish(self):
        self.watchdog.cancel()
        codes = {}
        for program in self.programs:
            for stream in (program.popen.stdin, program.popen.stdout):
                if stream:
                    _close(stream)
        for group in self.groups:
            _signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + 10
        for program in self.programs:
            try:
                program.popen.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            codes[program] = program.popen.poll()
        self._kill()
        for program in self.programs:
            program.popen.wait()
        assert not self.hung, f"a program hung for {2 * TIMEOUT} s and was killed"
        for program, code in codes.items():
            self._expect_no_accident(program, code)

    @staticmethod
    def _expect_no_accident(program, code):
        crashes = [-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL]
        text = program.errors()
        assert code not in crashes, f"{program.popen.args} crashed ({code}): {text}"
        bad = re.findall(r"^.*(?:tlsulp: |\[alert\]|\[emerg\]|AddressSanitizer).*$", text, re.M)
        assert not bad, f"{program.popen.args} complained: {bad[:5]}"


def _close(stream):
    try:
        stream.close()
    except BrokenPipeError:
        pass


def _signal_group(group, number):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


# The proof

def expect_carried(program, tx, rx, sent=0, received=0, patience=TIMEOUT):
    """So many keys were installed, and the open connections carried at least so many bytes."""
    tree = {}

    def sums():
        tree.update(program.tree())
        lines = tree["connections"]
        return (tree["counters"]["TlsTxSw"], tree["counters"]["TlsRxSw"],
                sum(c["tx_bytes"] for c in lines if c["tx_home"] == "user"),
                sum(c["rx_bytes"] for c in lines if c["rx_home"] == "user"))

    wanted = (tx, rx, sent, received)

    def enough():
        return all(now >= least for now, least in zip(sums(), wanted))

    try:
        wait_until(enough, "the counters", patience)
    except AssertionError:
        names = "(TlsTxSw, TlsRxSw, bytes sent, bytes received)"
        raise AssertionError(f"{names}: {sums()}, wanted {wanted}: {tree}") from None
    counters = tree["counters"]
    assert (counters["TlsTxSw"], counters["TlsRxSw"]) == (tx, rx), tree
    assert counters["TlsDecryptError"] == 0 and tree["connections_lost"] == 0
    return tree


def expect_idle(program):
    """Every session ended with its connection."""
    def idle():
        tree = program.tree()
        counters = tree["counters"]
        return counters["TlsCurrTxSw"] == counters["TlsCurrRxSw"] == 0 and not tree["connections"]

    wait_until(idle, f"the end of all sessions: {program.tree()}")


# Pipes

def read_exactly(stream, count, hasher):
    left = count
    while left:
        block = stream.read(min(left, BLOCK))
        assert block, f"the stream ended {left} bytes early"
        hasher.update(block)
        left -= len(block)


class Feeder(threading.Thread):
    """Writes a file into a pipe or socket, beside whatever the test does."""

    def __init__(self, path, stream, close=False):
        super().__init__(daemon=True)
        self.path, self.stream, self.close, self.error = path, stream, close, None
        self.start()

    def run(self):
        try:
            with open(self.path, "rb") as file:
                shutil.copyfileobj(file, self.stream, BLOCK)
            self.stream.flush()
            if self.close:
                self.stream.close()
        except OSError as error:
            self.error = error

    def finish(self):
        self.join(TIMEOUT)
        assert not self.is_alive() and self.error is None, f"feeding stopped: {self.error}"


class Reader(threading.Thread):
    """Reads the payload from a pipe or socket and compares it, beside the test."""

    def __init__(self, payload, stream):
        super().__init__(daemon=True)
        self.payload, self.stream, self.hasher, self.error = payload, stream, hashlib.sha256(), None
        self.start()

    def run(self):
        try:
            read_exactly(self.stream, self.payload.size, self.hasher)
        except (AssertionError, OSError) as error:
            self.error = error

    def finish(self):
        self.join(TIMEOUT)
        assert not self.is_alive() and self.error is None, f"reading stopped: {self.error}"
        assert self.hasher.hexdigest() == self.payload.digest


def transfer(payload, into, out_of):
    """The payload from one pipe or socket to another, checksum compared."""
    feeder = Feeder(payload.path, into)
    hasher = hashlib.sha256()
    read_exactly(out_of, payload.size, hasher)
    feeder.finish()
    assert hasher.hexdigest() == payload.digest


class Download:
    """A program that writes `size` bytes into our pipe. The last of them stay unread, so that
    it keeps its connection open, until finish(): meanwhile the server has sent everything."""

    HELD = 128 << 10  # what pipe and socket buffers take easily

    def __init__(self, program, size, held=HELD):
        self.program, self.held, self.hasher = program, held, hashlib.sha256()
        self.stream = program.popen.stdout
        self.left = size

    def receive_most(self):
        return self.receive(self.left - self.held)

    def receive(self, count):
        try:
            read_exactly(self.stream, count, self.hasher)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.program.errors()}") from None
        self.left -= count
        return self

    def finish(self):
        self.receive(self.left)
        assert self.stream.read(1) == b"", "more bytes than the payload has"
        self.program.expect_exit(0)
        return self.hasher.hexdigest()


def curl_command(certificate, version, *arguments):
    return ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert",
            certificate.cert, f"--tlsv{version}", "--tls-max", version, *arguments]


def curl_cipher(version, cipher):
    return ["--tls13-ciphers" if version == "1.3" else "--ciphers", cipher]


def curl_download(launcher, certificate, version, url, size, *arguments):
    command = curl_command(certificate, version, *arguments, url)
    return Download(launcher.start(*command, stdout=subprocess.PIPE), size)


# nginx

def nginx_config(directory, http, workers=1, daemon=False):
    name = f"nginx-{len(list(directory.glob('nginx-*.conf')))}"
    scratch = directory / name
    scratch.mkdir()
    user = ""
    if os.geteuid() == 0:
        user = "user www-data;"
        shutil.chown(scratch, "www-data")
    path = directory / f"{name}.conf"
    path.write_text(f"""{user}
daemon {"on" if daemon else "off"};
worker_processes {workers};
pid {scratch}/pid;
error_log {scratch / "error.log" if daemon else "stderr"};
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    sendfile on;
    keepalive_requests 10000000;
    client_max_body_size 0;
    {http}
}}
""")
    return path


def nginx_tls(certificate, port, versions="TLSv1.2 TLSv1.3", ktls=True, listen=""):
    """The directives of a server block that speaks TLS."""
    return f"""
        listen 127.0.0.1:{port} ssl {listen};
        ssl_certificate {certificate.cert};
        ssl_certificate_key {certificate.key};
        ssl_protocols {versions};
        {"ssl_conf_command Options KTLS;" if ktls else ""}
"""


def start_nginx(launcher, config, *ports, ulp=True):
    command = ["nginx", "-e", "stderr", "-p", config.parent, "-c", config]
    program = launcher.start(*command, ulp=ulp)
    for port in ports:
        program.wait_for_port(port)
    return program
