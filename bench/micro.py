# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Single calls (bench/calls.c), and memory of idle connections (bench/memory.c)."""
import json
import subprocess

import stats
from places import BUILD, UNDER_TLSULP

CALLS = str(BUILD / "bench/calls")


def in_turn(commands, runs):
    results = {name: {"command": " ".join(words), "runs": []} for name, words in commands.items()}
    for _ in range(runs):
        for name, words in commands.items():
            done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
            results[name]["runs"].append(json.loads(done.stdout))
    for result in results.values():
        result.update(stats.summary(result["runs"], figures_of=dict))
    return results


def measure(directory, runs, quick):
    points = [
        {"name": "micro/not-tls", "contenders": in_turn(
            {"libc": [CALLS, "plain"], "tlsulp": [*UNDER_TLSULP, CALLS, "plain"]},
            runs if quick else 3 * runs)},
        {"name": "micro/attach", "contenders": in_turn(
            {"tlsulp": [*UNDER_TLSULP, CALLS, "attach"]}, runs)},
    ]
    for point in points:
        print(point["name"])
        for contender, c in point["contenders"].items():
            print(f"  {contender:10} " + "  ".join(
                f"{key[:-3]} {value:.1f} ({c['spread'][key][0]:.1f} to {c['spread'][key][1]:.1f}) ns"
                for key, value in c["median"].items()), flush=True)
    return points


def memory(directory, runs, quick):
    """One run: it is not a time. Its status only says whether it is above its target."""
    sizes = ["1000", "1000"] if quick else ["9000", "20000"]
    command = [*UNDER_TLSULP, str(BUILD / "bench/memory"), *sizes]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    for end in ends:
        print(f"memory: {end['end']}: {end['connections']} connections: idle {end['idle']} bytes "
              f"each, after records {end['after_records']}, after parts {end['after_parts']} "
              f"(plain TCP {end['plain']}); {end['rounds']} opened and closed: "
              f"{end['growth']} bytes more", flush=True)
    return [{"name": "memory/idle", "command": " ".join(command), "ends": ends}]
