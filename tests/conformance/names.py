# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The names of all tests of a kselftest program, from its -l listing.

names.py PROGRAM [PATTERN...] prints those that match a pattern (fnmatch), or all.
"""
import fnmatch
import subprocess
import sys


def parse(listing):
    """The listing has a block a fixture: its variants and its tests, side by side."""
    blocks, block = [], None
    for line in listing.splitlines():
        if line.startswith("#"):
            block = None
        elif line.startswith("----"):
            block = None
        else:
            if block is None:
                block = {"fixture": line[:20].strip(), "variants": [], "tests": []}
                blocks.append(block)
            block["variants"].append(line[21:46].strip())
            block["tests"].append(line[47:].strip())
    for block in blocks:
        variants = [v for v in block["variants"] if v] or [""]
        for variant in variants:
            for test in filter(None, block["tests"]):
                yield ".".join(filter(None, (block["fixture"], variant, test)))


def names(program):
    listing = subprocess.run([program, "-l"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True, check=False).stderr
    return list(parse(listing))


def matching(all_names, patterns):
    return [n for n in all_names if not patterns or
            any(fnmatch.fnmatchcase(n, p) for p in patterns)]


if __name__ == "__main__":
    print("\n".join(matching(names(sys.argv[1]), sys.argv[2:])))
