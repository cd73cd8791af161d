# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Plots of bench/results/*.json, as SVG and PNG. Bars go from least to greatest run's figure."""
import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

import machine  # noqa: E402
import report  # noqa: E402

COLOURS = {"tcp": "#8a8a8a", "tlsulp": "#c0392b", "tlsulp13": "#e67e22",
           "openssl30": "#7fb3d5", "openssl35": "#1f618d", "gnutls": "#58a55c"}
LABELS = {"tcp": "plain TCP", "tlsulp": "tlsulp", "tlsulp13": "tlsulp, Debian 13",
          "openssl30": "OpenSSL 3.0", "openssl35": "OpenSSL 3.5", "gnutls": "GnuTLS"}


def colour_of(contender):
    kind = contender.split("-")[-1]
    return COLOURS["tcp" if kind == "http" else kind]


def bars(axes, points, labels, figure, unit, relative):
    """A group of bars for each point; @relative: to plain TCP's median there."""
    contenders = [c for c in COLOURS if any(c in p["contenders"] for p in points)]
    width = 0.8 / len(contenders)
    for i, contender in enumerate(contenders):
        at, heights, spread = [], [], [[], []]
        for j, point in enumerate(points):
            result = point["contenders"].get(contender, {})
            if figure not in result.get("median", {}):
                continue
            scale = point["contenders"]["tcp"]["median"][figure] if relative else 1
            median, low, high = (v / scale for v in (result["median"][figure],
                                                     *result["spread"][figure]))
            at.append(j + (i - (len(contenders) - 1) / 2) * width)
            heights.append(median)
            spread[0].append(median - low)
            spread[1].append(high - median)
        axes.bar(at, heights, width, yerr=spread, color=COLOURS[contender],
                 label=LABELS[contender], error_kw={"lw": 0.6})
    axes.set_xticks(range(len(points)), labels, fontsize=7)
    axes.set_ylabel(unit, fontsize=7)
    axes.tick_params(axis="y", labelsize=7)


def finish(figure, title, about, out, name):
    handles, labels = {}, []
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    labels = list(handles)
    figure.suptitle(title, fontsize=10)
    if labels:
        figure.legend(handles.values(), labels, loc="upper right", fontsize=7, ncol=len(labels))
    figure.text(0.01, 0.005, machine.caption(about), fontsize=5.5, va="bottom", color="#444444")
    figure.tight_layout(rect=(0, 0.05, 1, 0.94))
    for kind in ("svg", "png"):
        figure.savefig(out / f"{name}.{kind}", dpi=150)
    plt.close(figure)


def panels(results, out, name, title, which, label, figure="us_per_message",
           unit="CPU of both ends, times plain TCP's", relative=True):
    """A panel for each scenario."""
    found = {}
    for point in results.points.values():
        if which(point):
            found.setdefault(point["label"] or point["scenario"], []).append(point)
    if not found:
        return
    columns = min(3, len(found))
    lines = -(-len(found) // columns)
    drawing, grid = plt.subplots(lines, columns, figsize=(4.2 * columns, 2.6 * lines + 0.8),
                                 squeeze=False)
    for axes, (scenario, points) in zip(grid.flat, found.items()):
        bars(axes, points, [label(p) for p in points], figure, unit, relative)
        axes.set_title(scenario, fontsize=8)
    for axes in list(grid.flat)[len(found):]:
        axes.remove()
    finish(drawing, title, results.machine, out, name)


def size_of(point):
    size = point["size"]
    for unit, text in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit} {text}"
    return f"{size} B"


def servers(results, out):
    point = results.points.get("servers/static")
    if not point:
        return
    drawing, grid = plt.subplots(1, 2, figsize=(10, 3.4))
    for axes, figure, title in zip(grid, ("server_s_per_gib", "cpu_s_per_gib"),
                                   ("the server alone", "with its client")):
        names = list(point["contenders"])[::-1]
        medians = [point["contenders"][n]["median"][figure] for n in names]
        spreads = [point["contenders"][n]["spread"][figure] for n in names]
        error = [[m - s[0] for m, s in zip(medians, spreads)],
                 [s[1] - m for m, s in zip(medians, spreads)]]
        axes.barh(names, medians, xerr=error, color=[colour_of(n) for n in names],
                  error_kw={"lw": 0.6})
        axes.set_title(title, fontsize=8)
        axes.set_xlabel("CPU seconds per GiB", fontsize=7)
        axes.tick_params(labelsize=7)
    finish(drawing, "Static files", results.machine, out, "servers")


def draw(results, out):
    def in_group(group):
        return lambda p: p.get("group") == group

    def many(p):
        return f"{size_of(p)}\n{p['connections']} conn."

    panels(results, out, "sizes", "CPU time by message size", in_group("sizes"), size_of)
    panels(results, out, "bulk", "CPU time per GiB, large messages",
           lambda p: in_group("sizes")(p) and p["size"] >= 16384 and p["scenario"] != "echo",
           size_of, "cpu_s_per_gib", "CPU of both ends, s per GiB", False)
    panels(results, out, "veth", "Between two network namespaces, 9000-byte frames",
           in_group("veth"), size_of, "cpu_s_per_gib", "CPU of both ends, s per GiB", False)
    panels(results, out, "ciphers", "Ciphers, 16 KiB", in_group("ciphers"),
           lambda p: f"{p['cipher']}\n1.{p['tls'] - 10}", "cpu_s_per_gib",
           "CPU of both ends, s per GiB", False)
    panels(results, out, "connections", "Many connections", in_group("connections"), many)
    panels(results, out, "latency", "Request and response: 99th percentile",
           lambda p: p.get("scenario") == "rr" and p["together"], many, "p99_us", "times plain TCP's")
    panels(results, out, "apart", "Small messages, each end on a processor of its own",
           in_group("apart"), many)
    panels(results, out, "cliffs", "No cliff", in_group("cliffs"), size_of)
    servers(results, out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent / "results")
    args = parser.parse_args()
    draw(report.Results(args.results), args.results)


if __name__ == "__main__":
    main()
