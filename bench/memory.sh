#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: bench/memory.sh [CONNECTIONS [ROUNDS]]: see memory.c. One JSON line for each end.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${TLSULP_BUILD:-$here/../build}
mkdir -p "$here/results"
"${CC:-cc}" -O2 -o "$build/bench-memory" "$here/memory.c"
status=0
"$build/tlsulp" run --mode user -- "$build/bench-memory" "$@" >"$here/results/memory.jsonl" || status=$?
/usr/bin/python3 - "$here/results" <<'END'
import json, sys
ends = [json.loads(line) for line in open(sys.argv[1] + "/memory.jsonl")]
json.dump(ends, open(sys.argv[1] + "/memory.json", "w"), indent=1)
for e in ends:
    print(f"{e['end']}: {e['connections']} connections: idle {e['idle']} bytes each, after full records "
          f"{e['after_records']}, after records in parts {e['after_parts']} (plain TCP {e['plain']}); "
          f"{e['rounds']} opened and closed: {e['growth']} bytes more: {'ok' if e['ok'] else 'TOO MUCH'}")
END
rm -f "$here/results/memory.jsonl"
exit $status
