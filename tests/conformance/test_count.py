# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""count.py: what counts as passed, and what makes a whole run worthless."""
import os
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
KEY = "KEY 1.0 7 {cookie} {way} a 1 b 2 0 0 0 00\n"


class Run:
    def __init__(self, folder):
        self.folder = folder
        self.results = []
        self.counters = {"TlsTxSw": 1, "TlsRxSw": 1, "TlsTxRekeyOk": 0, "TlsRxRekeyOk": 0}
        self.keys = KEY.format(cookie=1, way="TX") + KEY.format(cookie=2, way="RX")
        self.dropped, self.wire, self.plan = 0, 0, None
        self.expect = "floor 2\n*rekey*\n"

    def test(self, name, status="ok", rest="", noise=""):
        number = len(self.results) + 1
        self.results.append((name, f"#  RUN           {name} ...\n{noise}#            OK  {name}\n"
                                   f"{status} {number} {name}{rest}\n"))
        return self

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def check(self, status, last, *texts):
        plan = self.plan or len(self.results)
        stat = "".join(f"{k:<20}{v}\n" for k, v in self.counters.items())
        tap = f"TAP version 13\n1..{plan}\n" + "".join(t for _, t in self.results)
        done = subprocess.run(
            ["/usr/bin/python3", os.path.join(HERE, "count.py"),
             "--tap", self.write("tap", tap), "--stderr", self.write("stderr", "noise\n" + stat),
             "--keylog", self.write("keylog", self.keys), "--wire-status", str(self.wire),
             "--capture-log", self.write("log", f"{self.dropped} packets dropped by kernel\n"),
             "--names", self.write("names", "\n".join(n for n, _ in self.results)),
             "--expect", self.write("expect", self.expect)],
            stdout=subprocess.PIPE, text=True, check=False)
        assert done.stdout.splitlines()[-1] == last, done.stdout
        assert done.returncode == status, done.stdout
        for text in texts:
            assert text in done.stdout


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path).test("tls.a").test("tls.b")


def test_good(run):
    run.check(0, "2 passed, 0 failed")


def test_expected_failure(run):
    run.test("tls.rekey_x", "not ok").check(0, "2 passed, 1 failed", "  tls.rekey_x: failed")


def test_unexpected_failure(run):
    run.test("tls.c", "not ok").check(1, "2 passed, 1 failed", "NOT EXPECTED: 1\n  tls.c")


def test_skipped_does_not_count(run):
    run.test("tls.c", rest=" # SKIP no TLS support").check(1, "2 passed, 1 failed", "skipped")


def test_without_tls_does_not_count(run):
    run.test("tls.c", noise="Failure setting TCP_ULP, testing without tls\n")
    run.check(1, "2 passed, 1 failed", "tls.c: ran without TLS")


def test_floor(run):
    run.expect = "floor 3\n"
    run.check(1, "2 passed, 0 failed", "at least 3")


def test_suite_that_stopped(run):
    run.plan = 5
    run.check(1, "2 passed, 3 failed")


def test_counter_differs(run):
    run.counters["TlsTxSw"] = 2
    run.check(1, "0 passed, 2 failed", "TlsTxSw is 2, but 1 keys")


def test_counter_missing(run):
    del run.counters["TlsRxSw"]
    run.check(1, "0 passed, 2 failed", "no TlsRxSw")


def test_key_updates_are_counted_apart(run):
    run.keys += KEY.format(cookie=1, way="TX")
    run.counters["TlsTxRekeyOk"] = 1
    run.check(0, "2 passed, 0 failed")


def test_no_keys(run):
    run.keys, run.counters = "", dict.fromkeys(run.counters, 0)
    run.check(1, "0 passed, 2 failed", "no key was installed")


def test_capture_that_lost_packets(run):
    run.dropped = 3
    run.check(1, "0 passed, 2 failed", "lost 3 packets")


def test_wire_check_failed(run):
    run.wire = 1
    run.check(1, "0 passed, 2 failed", "wire check failed")


def test_forged_result_lines(run):
    run.results.append(("tls.c", "ok 9 tls.c\n"))
    run.check(1, "0 passed, 3 failed", "out of order")
