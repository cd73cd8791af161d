#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Add up JUnit files: count_junit.py FILE... prints "PASSED FAILED SKIPPED".

A file that is missing or damaged counts as one failure: its runner died."""
import sys
import xml.etree.ElementTree as ET


def count(path):
    try:
        cases = list(ET.parse(path).getroot().iter("testcase"))
    except (OSError, ET.ParseError) as error:
        print(f"{path}: {error}; see the runner's output above", file=sys.stderr)
        return 0, 1, 0
    failed = sum(1 for case in cases
                 if case.find("failure") is not None or case.find("error") is not None)
    skipped = sum(1 for case in cases if case.find("skipped") is not None)
    return len(cases) - failed - skipped, failed, skipped


if __name__ == "__main__":
    print(*(sum(column) for column in zip((0, 0, 0), *map(count, sys.argv[1:]))))
