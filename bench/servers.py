# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""nginx and lighttpd that serve a file of random data.

All servers are started once and asked in turn. The CPU time is that of all of a server's
processes; the client (bench/drain.c) reads what is on the wire and opens no record, so that
it costs the same for each. Servers have one processor, the client another. curl's download first has to have the file's SHA-256, and a
server under tlsulp counts only if the ULP carried each download.
"""
import hashlib
import json
import os
import socket
import subprocess
import time

import stats
from places import BUILD, FAR_CPU, IN_DEBIAN13, NEAR_CPU, UNDER_TLSULP

SUITE = "TLS_AES_128_GCM_SHA256"
# The name of a contender: the server, what stands before its command, TLS, kTLS.
CONTENDERS = {
    "nginx-http": ("nginx", (), False, False),
    "nginx-tlsulp": ("nginx", UNDER_TLSULP, True, True),
    "nginx-openssl30": ("nginx", (), True, False),
    "nginx-openssl35": ("nginx", IN_DEBIAN13, True, False),
    "lighttpd-http": ("lighttpd", (), False, False),
    "lighttpd-tlsulp": ("lighttpd", UNDER_TLSULP, True, True),
    "lighttpd-openssl30": ("lighttpd", (), True, False),
}

NGINX = """
daemon off; worker_processes 1; error_log {dir}/error.log; pid {dir}/pid;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{
    listen 127.0.0.1:{port} {ssl};
    ssl_certificate {certificate}; ssl_certificate_key {certificate};
    ssl_protocols TLSv1.3;
    ssl_conf_command Options {options};
    ssl_conf_command Ciphersuites {suite};
    root {www};
  }}
}}
"""

LIGHTTPD = """
server.modules = ({modules})
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{www}"
server.upload-dirs = ("{dir}")
server.errorlog = "{dir}/error.log"
server.pid-file = "{dir}/pid"
server.network-backend = "sendfile"
{ssl}
"""

LIGHTTPD_SSL = """
ssl.engine = "enable"
ssl.pemfile = "{certificate}"
ssl.openssl.ssl-conf-cmd = ("Options" => "{options}", "MinProtocol" => "TLSv1.3",
                            "Ciphersuites" => "{suite}")
"""


class Wrong(Exception):
    """A server did not start, or did not do what it is measured for."""


def make_certificate(directory):
    """A P-256 certificate with its key, in one file."""
    path = directory / "certificate.pem"
    if path.exists():
        return path
    parts = [directory / "key.pem", directory / "cert.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                    "-keyout", parts[0], "-out", parts[1]], check=True, stderr=subprocess.DEVNULL)
    path.write_text("".join(part.read_text() for part in parts))
    path.chmod(0o644)
    return path


def make_file(path, size):
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for _ in range(size >> 20):
            block = os.urandom(1 << 20)
            digest.update(block)
            f.write(block)
    return digest.hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_clock(pid):
    """Seconds of CPU of another process: what clock_getcpuclockid() gives."""
    return time.clock_gettime(~pid << 3 | 2)


def machine_seconds():
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, name, directory, www, certificate):
        self.name, self.port = name, free_port()
        kind, before, self.tls, self.ulp = CONTENDERS[name]
        directory.mkdir()
        options = "KTLS" if self.ulp else "-KTLS"
        if kind == "nginx":
            text = NGINX.format(dir=directory, port=self.port, ssl="ssl" if self.tls else "",
                                certificate=certificate, options=options, suite=SUITE, www=www,
                                user="user root;" if os.getuid() == 0 else "")
            command = ["nginx", "-c", f"{directory}/conf", "-e", f"{directory}/error.log"]
        else:
            ssl = LIGHTTPD_SSL.format(certificate=certificate, suite=SUITE,
                                      options=options.replace("KTLS", "+KTLS").replace("-+", "-"))
            text = LIGHTTPD.format(dir=directory, port=self.port, www=www,
                                   modules='"mod_openssl"' if self.tls else "",
                                   ssl=ssl if self.tls else "")
            command = ["lighttpd", "-D", "-f", f"{directory}/conf"]
        (directory / "conf").write_text(text)
        self.command = ["taskset", "-c", FAR_CPU, *before, *command]
        self.process = subprocess.Popen(self.command)
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        for _ in range(400):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise Wrong(f"{self.name} did not start: see its words above")

    def pids(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [pid] + [int(p) for p in f.read().split()]

    def cpu(self):
        return sum(cpu_clock(pid) for pid in self.pids())

    def carried(self):
        out = subprocess.run([str(BUILD / "tlsulp"), "stat", "--json", str(self.process.pid)],
                             check=True, capture_output=True, text=True).stdout
        return json.loads(out)["trees"][0]["counters"]["TlsTxSw"]

    def verify(self, digest):
        url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/data"
        got = hashlib.sha256()
        with subprocess.Popen(["curl", "-sSfk", url], stdout=subprocess.PIPE) as curl:
            while block := curl.stdout.read(1 << 20):
                got.update(block)
        if got.hexdigest() != digest:
            raise Wrong(f"{self.name}: the downloaded bytes are not those of the file")

    def run(self, size, times):
        scheme = "https" if self.tls else "http"
        carried = self.carried() if self.ulp else 0
        before, machine = self.cpu(), machine_seconds()
        done = subprocess.run(["taskset", "-c", NEAR_CPU, str(BUILD / "bench/drain"), scheme, str(self.port), "/data",
                               str(size), str(times)], stdout=subprocess.PIPE, check=True)
        cpu, machine = self.cpu() - before, machine_seconds() - machine
        if self.ulp and self.carried() - carried != times:
            raise Wrong(f"{self.name}: the ULP did not carry the downloads")
        return {**json.loads(done.stdout), "server_cpu": cpu, "machine_cpu": machine,
                "bytes": size * times, "messages": times}

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(directory, runs, quick):
    size, times = (16 << 20, 2) if quick else (128 << 20, 4)
    certificate, www, alive = make_certificate(directory), directory / "www", []
    www.mkdir()
    digest = make_file(www / "data", size)
    results = {}
    try:
        for name in CONTENDERS:
            alive.append(Server(name, directory / name, www, certificate))
        for server in alive:
            server.verify(digest)
            results[server.name] = {"command": " ".join(server.command), "runs": []}
        for _ in range(runs):
            for server in alive:
                results[server.name]["runs"].append(server.run(size, times))
    finally:
        for server in alive:
            server.stop()
    for result in results.values():
        result.update(stats.summary(result["runs"]))
    show(results)
    return [{"name": "servers/static", "size": size, "cipher": SUITE, "contenders": results}]


def show(results):
    print("servers/static")
    for name, result in results.items():
        median, spread = result["median"], result["spread"]["server_s_per_gib"]
        print(f"  {name:18} server {median['server_s_per_gib']:.3f} s CPU/GiB "
              f"({spread[0]:.3f} to {spread[1]:.3f})  with the client {median['cpu_s_per_gib']:.3f}  "
              f"machine {median['machine_s_per_gib']:.3f}  wall {median['gib_per_s']:.3f} GiB/s",
              flush=True)
