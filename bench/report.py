# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What was reached of what was aimed at, from bench/results/*.json, as Markdown.

A ratio is the median of those of runs that followed each other. "both ends" is the CPU time of
client and server together, "one end" that of the end which the row is about (the sender, the
receiver, or the server program): the word before the semicolon is what the row is judged by.
Where the ends are: bench/scenes.py.
Nothing here fails.
"""
import argparse
import json
import pathlib

import machine
import scenes
import stats

KIB, MIB = 1 << 10, 1 << 20
HARD_FLOOR = 1.0
NS_PER_US = 1e3


class Results:
    def __init__(self, directory):
        self.points, self.machine = {}, None
        for path in sorted(directory.glob("*.json")):
            found = json.loads(path.read_text())
            self.machine = self.machine or found["machine"]
            for point in found["points"]:
                self.points[point["name"]] = point

    def median(self, point, contender, figure):
        """None if it was not measured."""
        found = self.points.get(point, {}).get("contenders", {}).get(contender, {})
        return found.get("median", {}).get(figure)

    def runs(self, point):
        """Each contender's, in order."""
        contenders = self.points.get(point, {}).get("contenders", {})
        return {name: found.get("runs", ()) for name, found in contenders.items()}

    def ratio(self, point, contender, other, figure):
        """None if it was not measured."""
        runs = self.runs(point)
        return stats.ratio_in_turn(runs.get(contender, ()), runs.get(other, ()), figure)


def point_name(group, scenario, size, connections=1):
    return scenes.Point(group, scenario, size=size, connections=connections).name


def row(what, target, judged, note="", unit=""):
    """A table's row; no verdict where nothing was measured."""
    if judged is None:
        return (what, f"{target:g}{unit}", "not measured", "", note)
    return (what, f"{target:g}{unit}", f"{judged:.3g}{unit}", "yes" if judged <= target else "**no**",
            note)


def text_of(value):
    return "not measured" if value is None else f"{value:.2f}"


def ratio_row(results, what, target, name, pair, judged, others=()):
    """@judged and @others: (words, figure)."""
    value = results.ratio(name, *pair, judged[1])
    notes = [f"{words} {text_of(results.ratio(name, *pair, figure))}" for words, figure in others]
    return row(f"{what}: {pair[0]} / {pair[1]}", target, value,
               "; ".join([f"judged by {judged[0]}", *notes]))


BOTH_ENDS = ("both ends", "cpu_s_per_gib")
CLIENT = ("sender", "client_s_per_gib")
SERVER = ("server", "server_s_per_gib")
RECEIVER = ("receiver", "server_s_per_gib")


def servers(r):
    name = "servers/static"
    for target, other in ((0.60, "nginx-openssl30"), (0.70, "nginx-openssl35"),
                          (1.35, "nginx-http")):
        yield ratio_row(r, "nginx, static file", target, name, ("nginx-tlsulp", other),
                        BOTH_ENDS, [SERVER])


def send(r):
    for size, word, target in ((16 * KIB, "16 KiB", 0.80), (128 * KIB, "128 KiB", 0.62),
                               (MIB, "1 MiB", 0.62)):
        yield ratio_row(r, f"send {word}", target, point_name("sizes", "send", size),
                        ("tlsulp", "openssl35"), CLIENT, [BOTH_ENDS])
    for size, word in ((128 * KIB, "128 KiB"), (MIB, "1 MiB")):
        yield ratio_row(r, f"send {word}", 1.15, point_name("sizes", "send", size),
                        ("tlsulp", "tcp"), CLIENT, [BOTH_ENDS])
    for size, word in ((16 * KIB, "16 KiB"), (128 * KIB, "128 KiB"), (MIB, "1 MiB")):
        yield ratio_row(r, f"sendfile {word}", 1.35, point_name("sizes", "sendfile", size),
                        ("tlsulp", "tcp"), BOTH_ENDS, [CLIENT])


def receive(r):
    for size, word, target in ((16 * KIB, "16 KiB", 0.85), (128 * KIB, "128 KiB", 0.60),
                               (MIB, "1 MiB", 0.60)):
        yield ratio_row(r, f"receive {word}", target, point_name("sizes", "receive", size),
                        ("tlsulp", "openssl35"), BOTH_ENDS, [RECEIVER])


def small(r):
    per_message = ("CPU a message, both ends", "us_per_message")
    points = [(f"{s} {w}", point_name("sizes", s, n))
              for s in ("send", "receive") for n, w in ((64, "64 B"), (KIB, "1 KiB"))]
    points += [(f"receive {w}, {c} connections", point_name("connections", "receive", n, c))
               for c in (100, 9000) for n, w in ((64, "64 B"), (KIB, "1 KiB"))]
    latency = [(f"request/response {w}, {c} connections", point_name("latency", "rr", n, c))
               for c in (1, 64) for n, w in ((64, "64 B"), (KIB, "1 KiB"))]
    latency += [(f"request/response 64 B, {c} connections", point_name("connections", "rr", 64, c))
                for c in (100, 9000)]
    for what, name in points + latency:
        yield ratio_row(r, what, 1.0, name, ("tlsulp", "openssl35"), per_message)
        yield ratio_row(r, what, 1.15, name, ("tlsulp", "tcp"), per_message)
    for what, name in latency:
        yield ratio_row(r, what, 1.0, name, ("tlsulp", "openssl35"), ("p99 latency", "p99_us"),
                        [("p50", "p50_us"), ("p99.9", "p999_us")])


def single_calls(r):
    for call in ("write", "read"):
        extra, control, whole = (r.median("micro/not-tls", *one) for one in (
            ("tlsulp", f"{call}_extra_ns"), ("libc", f"{call}_extra_ns"), ("tlsulp", f"{call}_ns")))
        note = "" if extra is None else (f"of {whole:.1f} in all; without the preload the "
                                         f"same measurement says {control:.1f}")
        yield row(f"{call}() on a descriptor that is not TLS, over libc's", 2, extra, note, " ns")
    attach = r.median("micro/attach", "tlsulp", "all_ns")
    yield row("TCP_ULP, TLS_TX and TLS_RX together", 15,
              None if attach is None else attach / NS_PER_US,
              "median of 200 sockets, without the process's first", " us")
    for end in r.points.get("memory/idle", {}).get("ends", []):
        yield row(f"an idle connection, {end['end']}, {end['connections']} connections", 8,
                  end["idle"] / KIB, f"after full records {end['after_records'] / KIB:.2f}", " KiB")


def scaling(r):
    for scenario in ("receive", "send"):
        growth = {}
        for contender in ("tlsulp", "tcp"):
            many, one = (r.median(point_name(*place), contender, "cpu_s_per_gib") for place in
                         (("connections", scenario, 16 * KIB, 9000),
                          ("sizes", scenario, 16 * KIB)))
            growth[contender] = many / one if many and one else None
        measured = all(growth.values())
        note = "; ".join(f"{c} {text_of(g)}" for c, g in growth.items())
        yield row(f"{scenario} 16 KiB: CPU a byte at 9,000 connections over that at 1, against TCP's",
                  1.1, growth["tlsulp"] / growth["tcp"] if measured else None, note)


def floor(r):
    """Every point where both were measured, those above 1 first; with the libraries of the same
    Debian where that was measured."""
    found = []
    for name in r.points:
        value, ours = stats.floor_ratio(r.runs(name))
        if value is not None:
            found.append((value, f"{name} ({ours})" if ours != "tlsulp" else name))
    return sorted(found, reverse=True)


def disturbed(r):
    """Points where others worked on the machine: its CPU time against that of both ends."""
    for name, point in r.points.items():
        for contender in point.get("contenders", {}):
            ends, whole = (r.median(name, contender, figure)
                           for figure in ("cpu_s_per_gib", "machine_s_per_gib"))
            if ends and whole and whole > 1.3 * ends:
                yield name, contender, whole / ends


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(r) + " |" for r in rows]


def report(r):
    lines = ["# Measured", "", *machine.caption(r.machine).splitlines(), ""]
    rows = [one for part in (servers, send, receive, small, single_calls, scaling)
            for one in part(r)]
    lines += table(("what", "at most", "reached", "met", "how"), rows)
    found = floor(r)
    above = [f for f in found if f[0] > HARD_FLOOR]
    lines += ["", f"## Never above OpenSSL 3.5's own records: {len(found) - len(above)} of "
              f"{len(found)} points", "", "CPU a message, both ends, tlsulp / openssl35, near 1 by "
              "three times the runs; the worst:", ""]
    lines += table(("point", "ratio", "met"),
                   [(name, f"{value:.2f}", "yes" if value <= HARD_FLOOR else "**no**")
                    for value, name in found[:max(len(above), 10)]])
    noisy = list(disturbed(r))
    lines += ["", f"Cross-check: in {len(noisy)} results the whole machine's CPU time is above 1.3 "
              "times that of both ends (other programs ran, or interrupts were not the ends')."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent / "results")
    args = parser.parse_args()
    text = report(Results(args.results))
    (args.results / "report.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
