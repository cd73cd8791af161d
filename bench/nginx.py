# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Server CPU of Debian's nginx serving a file of random data.

Contenders, run in turn: HTTPS under tlsulp, HTTPS with OpenSSL's own record
layer, plain HTTP with sendfile (the floor). The figure is the CPU time (user
and system, /proc/PID/stat) of all nginx processes; a run counts only if the
client got every byte, and the tlsulp one only if the ULP carried them.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
BUILD = os.environ.get("TLSULP_BUILD", "build")

CONFIG = """
daemon off; worker_processes 1; error_log {dir}/error.log; pid {dir}/pid;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{
    listen 127.0.0.1:{port} {ssl};
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command Options {options};
    ssl_conf_command Ciphersuites {suite};
    root {dir}/www;
  }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_site(size):
    path = tempfile.mkdtemp(prefix="tlsulp-bench-")
    os.chmod(path, 0o755)
    os.mkdir(path + "/www")
    digest = hashlib.sha256()
    with open(path + "/www/data", "wb") as f:
        for _ in range(size >> 20):
            block = os.urandom(1 << 20)
            digest.update(block)
            f.write(block)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-days", "2", "-keyout", path + "/key.pem", "-out", path + "/cert.pem"],
        check=True, stderr=subprocess.DEVNULL,
    )
    return path, digest.hexdigest()


class Nginx:
    def __init__(self, site, contender, suite):
        self.port = free_port()
        self.tls = contender != "http"
        self.ulp = contender == "tlsulp"
        config = CONFIG.format(
            dir=site, port=self.port, ssl="ssl" if self.tls else "", suite=suite,
            options="KTLS" if self.ulp else "-KTLS",
            user="user root;" if os.getuid() == 0 else "",
        )
        with open(site + "/nginx.conf", "w") as f:
            f.write(config)
        command = ["nginx", "-c", site + "/nginx.conf"]
        if self.ulp:
            command = [BUILD + "/tlsulp", "run", "--mode", "user", "--"] + command
        self.process = subprocess.Popen(command)
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("nginx did not start: see its words above")

    def pids(self):
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as f:
            return [self.process.pid] + [int(p) for p in f.read().split()]

    def cpu(self):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def carried(self):
        out = subprocess.run(
            [BUILD + "/tlsulp", "stat", "--json", str(self.process.pid)],
            check=True, capture_output=True, text=True,
        ).stdout
        return json.loads(out)["trees"][0]["counters"]["TlsTxSw"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def download(url, checksum):
    """Wall seconds of one download; the checksum is taken where @checksum is given."""
    curl = ["curl", "-sSfk", url]
    start = time.monotonic()
    if not checksum:
        subprocess.run(curl + ["-o", "/dev/null"], check=True)
        return time.monotonic() - start
    with subprocess.Popen(curl, stdout=subprocess.PIPE) as process:
        digest = hashlib.sha256()
        while block := process.stdout.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != checksum:
        raise SystemExit("the downloaded bytes are not those of the file")
    return time.monotonic() - start


def one_run(site, contender, suite, times, checksum):
    server = Nginx(site, contender, suite)
    try:
        url = f"{'https' if server.tls else 'http'}://127.0.0.1:{server.port}/data"
        download(url, checksum)  # warms up, and proves that the bytes are right
        before, ulp_before = server.cpu(), server.carried() if server.ulp else 0
        wall = sum(download(url, None) for _ in range(times))
        cpu = server.cpu() - before
        if server.ulp and server.carried() - ulp_before != times:
            raise SystemExit("the ULP did not carry the downloads: the figure would be OpenSSL's")
        return cpu, wall
    finally:
        server.stop()


def cpu_model():
    with open("/proc/cpuinfo") as f:
        return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256, help="size of the file, served four times a run")
    parser.add_argument("--suite", default="TLS_AES_128_GCM_SHA256")
    parser.add_argument("--out")
    args = parser.parse_args()

    site, checksum = make_site(args.mib << 20)
    times, contenders = 4, ["tlsulp", "openssl", "http"]
    gib = args.mib * times / 1024
    cpu = {c: [] for c in contenders}
    wall = {c: [] for c in contenders}
    try:
        for run in range(args.runs):
            for c in contenders:
                used, took = one_run(site, c, args.suite, times, checksum)
                cpu[c].append(used / gib)
                wall[c].append(took / gib)
                print(f"run {run + 1}  {c:8} {used / gib:.3f} CPU-s/GiB  {took / gib:.3f} s/GiB", flush=True)
    finally:
        shutil.rmtree(site)

    median = {c: statistics.median(cpu[c]) for c in contenders}
    print(f"\nnginx, {args.suite}, server CPU seconds per GiB, median (min to max) of {args.runs}:")
    for c in contenders:
        print(f"  {c:8} {median[c]:.3f} ({min(cpu[c]):.3f} to {max(cpu[c]):.3f})")
    ratio = median["tlsulp"] / median["openssl"]
    print(f"tlsulp / openssl: {ratio:.2f}   tlsulp / http: {median['tlsulp'] / median['http']:.2f}")
    if args.out:
        with open(args.out, "w") as f:
            json.dump({"machine": cpu_model(), "kernel": platform.release(), "suite": args.suite,
                       "cpu_s_per_gib": cpu, "wall_s_per_gib": wall, "ratio_to_openssl": ratio}, f, indent=1)


if __name__ == "__main__":
    main()
