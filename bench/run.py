# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`make bench`: every point's contenders in turn (A B A B), medians and spread, as JSON.

Each contender first carries the stream once with every byte compared; the timed runs do not
compare. Nothing here fails because something was slow: status 1 means that a run broke.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import machine
import micro
import scenes
import servers
import stats
from places import BUILD, BUILD13, FAR_CPU, HERE, IN_DEBIAN13, NEAR_CPU, UNDER_TLSULP

# The two ends are as two programs: each with a statistics table of its own.
ENDS_UNDER_TLSULP = (*UNDER_TLSULP, "env", "-u", "TLSULP_STAT")
# The name of a contender: what stands before its command, the programs, the layer.
CONTENDERS = {
    "tcp": ((), BUILD, "tcp"),
    "zerocopy": ((), BUILD, "zerocopy"),
    "tlsulp": (ENDS_UNDER_TLSULP, BUILD, "tlsulp"),
    "openssl30": ((), BUILD, "openssl"),
    "openssl35": (IN_DEBIAN13, BUILD13, "openssl"),
    "gnutls": ((), BUILD, "gnutls"),
    "tlsulp13": ((*IN_DEBIAN13, str(BUILD13 / "tlsulp"), *ENDS_UNDER_TLSULP[1:]), BUILD13, "tlsulp"),
}
# What OpenSSL's libcrypto finds without VAES and VPCLMULQDQ (leaf 7, ECX bits 9 and 10).
# intel-ipsec-mb looks at the processor itself: there tlsulp has to take libcrypto.
NO_VAES = {"OPENSSL_ia32cap": ":~0x60000000000", "TLSULP_AEAD": "libcrypto"}
# From so many connections on a run is longer: each connection is to have its turns.
MANY, MANY_STRETCH = 1000, 3
# Single ratios lie a tenth apart: who comes so near to the floor, on either side, is measured
# further against it, so many times the runs.
NEAR_FLOOR, FURTHER_RUNS = 0.95, 2


class Broken(Exception):
    pass


class Ends:
    """Runs bench/ends.c."""

    def __init__(self, directory, seconds):
        self.seconds = seconds
        self.certificate = servers.make_certificate(directory)
        self.networks = []

    def command(self, point, contender):
        before, build, layer = CONTENDERS[contender]
        words = [*before, str(build / "bench/ends"), *point.options(),
                 "--certificate", str(self.certificate), "--near-cpu", NEAR_CPU,
                 "--far-cpu", NEAR_CPU if point.is_together else FAR_CPU]
        if point.veth:
            words += self.networks
        return [*words, layer, point.scenario]

    def run(self, point, contender, *options, seconds=None, before=()):
        command = [*before, *self.command(point, contender)]
        if not seconds:
            seconds = self.seconds * (MANY_STRETCH if point.connections >= MANY else 1)
        command[-2:-2] = [*options, "--seconds", str(seconds)]
        env = {**os.environ, **(NO_VAES if point.no_vaes else {})}
        try:
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True,
                                  timeout=300, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise Broken(f"{point.name} {contender}: {error}") from error
        return json.loads(done.stdout)


def ip(pid, *words):
    """ip(8) in the network of a process."""
    subprocess.run(["nsenter", "-t", pid, "-n", "ip", *words], check=True)


@contextlib.contextmanager
def veth_pair():
    """Two network namespaces, 9000-byte frames between them: options for ends."""
    holders = [subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) for _ in range(2)]
    try:
        while any(os.readlink(f"/proc/{h.pid}/ns/net") == os.readlink("/proc/self/ns/net")
                  for h in holders):
            time.sleep(0.01)
        near, far = (str(h.pid) for h in holders)
        ip(near, "link", "add", "near", "mtu", "9000", "type", "veth", "peer", "name", "far",
           "mtu", "9000", "netns", far)
        for pid, link, host in ((near, "near", 1), (far, "far", 2)):
            ip(pid, "address", "add", f"10.11.12.{host}/24", "dev", link)
            ip(pid, "link", "set", link, "up")
        yield ["--host", "10.11.12.2", "--near", f"/proc/{near}/ns/net",
               "--far", f"/proc/{far}/ns/net"]
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def attempt(ends, point, contender, broken, *options, **others):
    """A run; None if it broke."""
    try:
        return ends.run(point, contender, *options, **others)
    except Broken as error:
        print(f"BROKEN: {error}", file=sys.stderr, flush=True)
        broken.append(str(error))
        return None


def in_turn(ends, point, runs_of, rounds, broken):
    """@runs_of: the contenders, each with the list that its runs go to. Who breaks drops out."""
    alive = dict(runs_of)
    for _ in range(rounds):
        for contender in tuple(alive):
            run = attempt(ends, point, contender, broken)
            if run:
                alive[contender].append(run)
            else:
                del alive[contender]


def measure(ends, point, runs, further, broken):
    """One point: its contenders in turn."""
    results = {contender: {"command": " ".join(ends.command(point, contender)), "runs": []}
               for contender in point.contenders}
    runs_of = {contender: results[contender]["runs"] for contender in point.contenders
               if attempt(ends, point, contender, broken, "--verify", seconds=0.02)}
    in_turn(ends, point, runs_of, runs, broken)
    ratio, ours = stats.floor_ratio(runs_of)
    if ratio is not None and ratio > NEAR_FLOOR and point.connections < MANY:
        in_turn(ends, point, {c: runs_of[c] for c in (ours, "openssl35")}, further * runs, broken)
    for contender, result in results.items():
        result.update(stats.summary(result["runs"]))
    return {"name": point.name, "group": point.group, "scenario": point.scenario,
            "label": point.label, "size": point.size, "connections": point.connections,
            "together": point.is_together, "cipher": point.cipher, "tls": point.tls,
            "environment": NO_VAES if point.no_vaes else {}, "contenders": results}


def show(result):
    print(result["name"])
    for contender, c in result["contenders"].items():
        if not c["runs"]:
            continue
        median, spread = c["median"], c["spread"]
        line = (f"  {contender:10} {median['us_per_message']:9.2f} us CPU/message   "
                f"{median['cpu_s_per_gib']:8.3f} s CPU/GiB "
                f"({spread['cpu_s_per_gib'][0]:.3f} to {spread['cpu_s_per_gib'][1]:.3f}; "
                f"client {median['client_s_per_gib']:.3f}, server {median['server_s_per_gib']:.3f}, "
                f"machine {median['machine_s_per_gib']:.3f})  wall {median['gib_per_s']:.3f} GiB/s")
        if "p99_us" in median:
            line += (f"  p50 {median['p50_us']:.1f} p99 {median['p99_us']:.1f} "
                     f"p99.9 {median['p999_us']:.1f} us")
        print(line)
    sys.stdout.flush()


def write(out, group, about, points):
    text = json.dumps({"machine": about, "points": points}, indent=1)
    (out / f"{group}.json").write_text(text + "\n")


def run_ends(args, directory, about, broken):
    points = scenes.full_product() if args.all else scenes.axes()
    points = [p for p in points if re.search(args.only, p.name)]
    ends = Ends(directory, args.seconds)
    done = {}
    with contextlib.ExitStack() as stack:
        if any(p.veth for p in points):
            ends.networks = stack.enter_context(veth_pair())
        for point in points:
            # Connecting is most of such a run.
            runs = 1 if args.quick and point.connections >= MANY else args.runs
            result = measure(ends, point, runs, 0 if args.quick else FURTHER_RUNS, broken)
            show(result)
            done.setdefault(point.group, []).append(result)
            write(args.out, point.group, about, done[point.group])


def come_first():
    """This session before all others on a machine that has other work: what else waits for a
    processor spoils caches and latencies, though not CPU times."""
    with contextlib.suppress(PermissionError):
        os.setsid()
    with open("/proc/self/autogroup", "w") as f:
        f.write("-20")
    os.nice(-20)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.25, help="of a run's timed part")
    parser.add_argument("--quick", action="store_true", help="3 short runs: only to see that all works")
    parser.add_argument("--first", action="store_true",
                        help="before other programs of a busy machine (root)")
    parser.add_argument("--all", action="store_true", help="every size, connections and cipher together")
    parser.add_argument("--only", default="", metavar="PATTERN",
                        help="a regular expression: of the points' names, such as "
                             "'sizes/receive/16K', 'servers', 'micro', 'memory'")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
    args = parser.parse_args()
    if args.quick:
        args.runs, args.seconds = 3, 0.03
    return args


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.first:
        come_first()
    start, broken = time.monotonic(), []
    about = machine.describe(BUILD, IN_DEBIAN13)
    with tempfile.TemporaryDirectory(prefix="tlsulp-bench-") as directory:
        os.chmod(directory, 0o755)
        run_ends(args, pathlib.Path(directory), about, broken)
        for name, job in (("micro", micro.measure), ("memory", micro.memory),
                          ("servers", servers.measure)):
            if re.search(args.only, name):
                try:
                    points = job(pathlib.Path(directory), args.runs, args.quick)
                except (OSError, subprocess.SubprocessError, servers.Wrong) as error:
                    print(f"BROKEN: {name}: {error}", file=sys.stderr, flush=True)
                    broken.append(f"{name}: {error}")
                    continue
                write(args.out, name, about, points)
    print(f"{time.monotonic() - start:.0f} s; results in {args.out}")
    for error in broken:
        print(f"BROKEN: {error}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
