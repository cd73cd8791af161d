# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the CPU time of a scenario goes: perf's samples (software clock) of both ends, by kind.

Usage: bench/profile.py [--seconds S] [PATTERN]: the points of scenes.py whose names match, each
with its contenders tcp and tlsulp; a table in Markdown, in microseconds a message.
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile

import scenes
from run import Ends

# The first that matches "library symbol" has the sample. What perf sees of the kernel is its
# functions: a wake-up ends in the one that lets interrupts in again.
KINDS = (
    ("AEAD", r"IPSec_MB|libcrypto|libgcrypt|libgnutls|libhogweed|libnettle"),
    ("copies", r"copy_(to|from)_|copy_page|copy_folio|memmove|memcpy|_copy_"),
    ("waking, sleeping", r"finish_task_switch|spin_unlock_irq|schedule|try_to_wake|ttwu|select_task|"
                         r"enqueue_|dequeue_|pick_|update_curr|set_next|sched_|futex|idle"),
    ("system call entry", r"do_syscall_64|entry_SYSCALL|syscall_|fdget|fget|return_thunk|"
                          r"libc\S* .*(syscall|__GI___|__libc_|__send|__recv|__read|__write|splice)"),
    ("tlsulp", r"libtlsulp"),
    ("TCP and the rest", r""),
)


def samples(data):
    text = subprocess.run(
        ["perf", "script", "-i", data, "-F", "ip,sym,dso"], check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    counts, total = dict.fromkeys((kind for kind, _ in KINDS), 0), 0
    for line in text.splitlines():
        found = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)\s*$", line)
        if not found:
            continue
        name = f"{os.path.basename(found[2])} {found[1]}"
        counts[next(kind for kind, pattern in KINDS if re.search(pattern, name))] += 1
        total += 1
    return counts, total


def profile(ends, point, contender, seconds, directory):
    data = str(directory / "perf.data")
    before = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "5000", "-o", data, "--"]
    result = ends.run(point, contender, seconds=seconds, before=before)
    counts, total = samples(data)
    each = (result["client_cpu"] + result["server_cpu"]) / result["messages"] * 1e6
    shares = [f"{each * n / total:.2f}" if total else "?" for n in counts.values()]
    return f"| {point.name} | {contender} | {each:.2f} | " + " | ".join(shares) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("pattern", nargs="?", default="sizes/(send|sendfile|receive)/(64B|16K|1M)")
    args = parser.parse_args()
    print("| scenario | | both ends, µs a message | "
          + " | ".join(kind for kind, _ in KINDS) + " |")
    print("|---" * (len(KINDS) + 3) + "|")
    with tempfile.TemporaryDirectory(prefix="tlsulp-profile-") as name:
        os.chmod(name, 0o755)
        ends = Ends(pathlib.Path(name), args.seconds)
        for point in scenes.axes():
            if re.search(args.pattern, point.name) and not point.veth:
                for contender in ("tcp", "tlsulp"):
                    print(profile(ends, point, contender, args.seconds, pathlib.Path(name)),
                          flush=True)


if __name__ == "__main__":
    main()
