# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Counts a run of the kernel's TLS suite in a guest, strictly.

A test has passed only if it is ok, was not skipped and did not say that it ran without TLS
(tests/conformance/count.py); and tests have passed at all only if the module that was to be
tested was loaded, had sessions, and has none left. Where the kernel lacks a cipher, its tests
are not in the lists of names, and nothing else is missing from them.

--score: instead of judging, writes which tests failed, for tests/kernel/in-tree/.
"""
import argparse
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance"))
from count import Tap, stat_counters  # noqa: E402 pylint: disable=wrong-import-position


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def doubts(console, module, taps):
    """Why the run as a whole cannot be believed."""
    for tap in taps:
        yield from tap.broken
    if f"ok modprobe tls loads the module {module}" not in console.splitlines():
        yield f"the module that was tested is not the one called {module}"
    if "guest: suite ended" not in console:
        yield "the suite did not come to its end"
    counters = stat_counters(console)
    for name in "TlsTxSw", "TlsRxSw":
        if not counters.get(name):
            yield f"{name} is {counters.get(name)}: no session was the module's"
    for name in "TlsCurrTxSw", "TlsCurrRxSw":
        if counters.get(name) != 0:
            yield f"{name} is {counters.get(name)} at the end: a session was not ended"


def score(args, passed, names, why):
    absent = args.total - len(names)
    with open(args.score, "w", encoding="utf-8") as f:
        f.write("# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n"
                f"# {args.title}\n"
                "# Written by tests/kernel/run.sh --in-tree.\n"
                f"{passed} of {args.total} pass; {absent} want a cipher that the kernel lacks.\n")
        f.writelines(f"{name}: {why[name]}\n" for name in names if name in why)


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--console", required=True, help="what the guest printed")
    p.add_argument("--module", required=True, help="ours or in-tree")
    p.add_argument("--total", type=int, required=True, help="how many tests the suite has")
    p.add_argument("--fatal", required=True,
                   help="file of the names of tests in which the kernel came to its end")
    p.add_argument("--score", help="the file to write")
    p.add_argument("--title", help="its first line")
    p.add_argument("names", nargs="+", help="files of the names of the tests that were run")
    return p.parse_args()


def main():
    args = arguments()
    console = read(args.console)
    names = [name for path in args.names for name in read(path).split()]
    taps = [Tap(part) for part in re.split(r"^TAP version 13$", console, flags=re.M)[1:]]
    passed = {name for tap in taps for name in tap.passed} & set(names)
    why = {name: tap.why[name] for tap in taps for name in tap.why}
    why.update({n: "the kernel came to its end in it" for n in read(args.fatal).split()})
    why.update({n: "did not come to a result" for n in names if n not in passed and n not in why})
    reasons = list(doubts(console, args.module, taps))

    for name in names:
        if name in why:
            print(f"  {name}: {why[name]}")
    print(f"{args.total - len(names)} of {args.total} tests want a cipher that the kernel lacks")
    for reason in reasons:
        print(f"nothing counts: {reason}")
    if reasons:
        passed = set()
    elif args.score:
        score(args, len(passed), names, why)
    print(f"{len(passed)} passed, {len(names) - len(passed)} failed")
    return 0 if len(passed) == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
