# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""From runs to medians and spread."""
import statistics


def per_unit(run):
    """The figures of one run of bench/ends.c or of a server."""
    gib, both = run["bytes"] / (1 << 30), run["client_cpu"] + run["server_cpu"]
    figures = {
        "cpu_s_per_gib": both / gib,
        "client_s_per_gib": run["client_cpu"] / gib,
        "server_s_per_gib": run["server_cpu"] / gib,
        "machine_s_per_gib": run["machine_cpu"] / gib,
        "gib_per_s": gib / run["wall"],
        "us_per_message": both / run["messages"] * 1e6,
        "client_us_per_message": run["client_cpu"] / run["messages"] * 1e6,
        "server_us_per_message": run["server_cpu"] / run["messages"] * 1e6,
    }
    return {**figures, **{key: run[key] for key in ("p50_us", "p99_us", "p999_us") if key in run}}


def ratio_in_turn(runs, others, figure):
    """The median of those of runs that followed each other, which share what the machine was like
    just then. None if there are none."""
    each = ([per_unit(run).get(figure) for run in both] for both in zip(runs, others))
    ratios = [a / b for a, b in each if a is not None and b is not None]
    return statistics.median(ratios) if ratios else None


# The ULP and the record layer that it is never to be dearer than; those of one Debian, if there are.
FLOOR = (("tlsulp13", "openssl35"), ("tlsulp", "openssl35"))


def floor_ratio(runs_of):
    """Of CPU a message; @runs_of: each contender's runs. With the contender: (None, None) if it
    was not measured."""
    for ours, other in FLOOR:
        ratio = ratio_in_turn(runs_of.get(ours, ()), runs_of.get(other, ()), "us_per_message")
        if ratio is not None:
            return ratio, ours
    return None, None


def summary(runs, figures_of=per_unit):
    """Of each figure the median, and the least and the greatest."""
    each = [figures_of(run) for run in runs]
    keys = each[0] if each else {}
    return {
        "median": {key: statistics.median(run[key] for run in each) for key in keys},
        "spread": {key: [min(run[key] for run in each), max(run[key] for run in each)]
                   for key in keys},
    }
