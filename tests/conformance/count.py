# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Counts a run of the kernel's TLS suite strictly.

Without any TLS the suite still prints 812 lines that begin with "ok". So a
test has passed only if it is ok, was not skipped and did not say that it ran
without TLS; and tests have passed at all only if the whole run can be
believed: the ULP's own counters agree with the keys that the harness saw
installed, the capture lost nothing, and all of it was records (wirecheck).
"""
import argparse
import fnmatch
import re
import sys

WITHOUT_TLS = "testing without tls"
RESULT = re.compile(r"^(ok|not ok) (\d+) (\S+)(.*)$")
RUN = re.compile(r"^#\s+RUN\s+(\S+) \.\.\.$")


class Tap:
    """What the suite printed. why: name -> reason of failure, passed: names."""

    def __init__(self, text):
        self.plan = 0
        self.passed, self.why = [], {}
        self.broken = []
        seen, running, without = set(), None, False
        for line in text.splitlines():
            plan = re.match(r"^1\.\.(\d+)$", line)
            run, result = RUN.match(line), RESULT.match(line)
            if plan:
                self.plan = int(plan.group(1))
            elif run:
                running, without = run.group(1), False
            elif WITHOUT_TLS in line:
                without = True
            elif result:
                self._add(result, running, without, seen)
                running, without = None, False
        if not self.plan:
            self.broken.append("the suite printed no plan (1..N): see its output")

    def _add(self, result, running, without, seen):
        status, number, name, rest = result.groups()
        if name in seen or int(number) != len(seen) + 1 or name != running:
            self.broken.append(f"the suite's output is out of order at '{result.group(0)}'")
            return
        seen.add(name)
        if status != "ok":
            self.why[name] = "failed"
        elif "SKIP" in rest or "XFAIL" in rest:
            self.why[name] = "skipped" + rest.replace("# SKIP", ":").replace(" :", ":")
        elif without:
            self.why[name] = "ran without TLS"
        else:
            self.passed.append(name)

    def not_reported(self, names):
        """Tests that the program has and that never came to a result."""
        known = set(self.passed) | set(self.why)
        return [n for n in names if n not in known]


class Keys:
    """Keys installed, from the harness's own log: the first of a socket, and later ones."""

    def __init__(self, text):
        self.first = {"TX": 0, "RX": 0}
        self.later = {"TX": 0, "RX": 0}
        seen = set()
        for line in text.splitlines():
            word = line.split()
            if not word or word[0] != "KEY":
                continue
            socket = (word[3], word[4])
            (self.later if socket in seen else self.first)[word[4]] += 1
            seen.add(socket)


def stat_counters(text):
    return {name: int(value) for name, value in
            re.findall(r"^\s*(Tls\w+)\s+(\d+)\s*$", text, re.MULTILINE)}


def check_counters(stat, keys):
    expected = {"TlsTxSw": keys.first["TX"], "TlsRxSw": keys.first["RX"],
                "TlsTxRekeyOk": keys.later["TX"], "TlsRxRekeyOk": keys.later["RX"]}
    for name, count in expected.items():
        if name not in stat:
            yield f"the ULP printed no {name}: run it under 'tlsulp run --stat'"
        elif stat[name] != count:
            yield f"{name} is {stat[name]}, but {count} keys were installed"
    if not keys.first["TX"] or not keys.first["RX"]:
        yield "no key was installed: there is no TLS ULP here"


def check_capture(text):
    dropped = re.findall(r"^(\d+) packets? dropped by (?:kernel|interface)$", text, re.MULTILINE)
    if not dropped:
        yield "the capture did not end properly: see its output"
    elif any(int(n) for n in dropped):
        yield f"the capture lost {'+'.join(dropped)} packets: run again on a quieter machine"


def read_expected(path):
    floor, patterns = 0, []
    with open(path, encoding="utf-8") as f:
        for line in f:
            word = line.split("#")[0].split()
            if word[:1] == ["floor"]:
                floor = int(word[1])
            elif word:
                patterns.append(word[0])
    return floor, patterns


def group(names, patterns):
    """Names by the first pattern that allows them to fail; None: no pattern does."""
    groups = {None: []}
    for name in names:
        key = next((p for p in patterns if fnmatch.fnmatchcase(name, p)), None)
        groups.setdefault(key, []).append(name)
    return groups


def print_failures(groups, why):
    for pattern in [p for p in groups if p is not None] + [None]:
        if not groups[pattern]:
            continue
        title = f"expected ({pattern})" if pattern else "NOT EXPECTED"
        print(f"failing, {title}: {len(groups[pattern])}")
        for name in groups[pattern]:
            print(f"  {name}: {why[name]}")


def doubts(args, tap):
    """Why the run as a whole cannot be believed."""
    yield from tap.broken
    yield from check_counters(stat_counters(read(args.stderr)), Keys(read(args.keylog)))
    yield from check_capture(read(args.capture_log))
    if args.wire_status:
        yield "the wire check failed: see above"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--tap", required=True, help="what the suite printed")
    p.add_argument("--stderr", required=True, help="what tlsulp run --stat printed")
    p.add_argument("--keylog", required=True)
    p.add_argument("--capture-log", required=True, help="what tcpdump printed")
    p.add_argument("--wire-status", type=int, required=True, help="exit status of wirecheck")
    p.add_argument("--names", required=True, help="file of the names of the tests to run")
    p.add_argument("--expect", help="file of tests that may fail, and the floor")
    p.add_argument("--no-floor", action="store_true", help="only some of the tests were run")
    return p.parse_args()


def main():
    args = arguments()
    tap = Tap(read(args.tap))
    names = read(args.names).split()
    floor, patterns = read_expected(args.expect) if args.expect else (0, [])
    total = max(tap.plan, len(names))
    why = dict(tap.why, **{n: "did not come to a result" for n in tap.not_reported(names)})
    passed = len(tap.passed)
    reasons = list(doubts(args, tap))
    groups = group(why, patterns)

    print_failures(groups, why)
    for reason in reasons:
        print(f"nothing counts: {reason}")
    if reasons:
        print(f"(of themselves {passed} tests say that they passed)")
        passed = 0
    if not args.no_floor and passed < floor:
        print(f"at least {floor} must pass")
    print(f"{passed} passed, {total - passed} failed")
    bad = reasons or groups[None] or (not args.no_floor and passed < floor) or \
        total != passed + len(why)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
