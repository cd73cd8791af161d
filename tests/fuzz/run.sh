#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tests/fuzz/run.sh [SECONDS] [FILE...]
# Fuzzes the receive side and the options for SECONDS (60) under ASan and UBSan; with FILEs
# it only runs these inputs (TLSULP_FUZZ_TRACE=1 shows each call). A finding is kept in
# build-fuzz/findings.
# The last line is "N passed, M failed".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-60}
shift
build=${TLSULP_FUZZ_BUILD:-build-fuzz}
cc=${CLANG:-$(command -v clang || command -v clang-14)}
least_coverage=800 # edges; fewer means that nothing but the door was reached

finish() {
	echo "$1 passed, $2 failed"
	exit "$2"
}

build() {
	local sources
	mapfile -t sources < <(find engine user -name '*.c' ! -name preload.c | sort)
	mkdir -p "$build/findings" "$build/corpus"
	# fault.c asks for gcc's name of what clang calls a feature.
	"$cc" -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-fno-omit-frame-pointer -fno-strict-aliasing -ftls-model=initial-exec -D_GNU_SOURCE \
		-D__SANITIZE_ADDRESS__=1 -DTLSULP_VERSION='"fuzz"' -Wno-everything -I. -Iuser/include \
		"${sources[@]}" tests/unit/evp.c tests/unit/home.c tests/fuzz/fuzz_receive.c \
		-o "$build/fuzz_receive" -lcmocka -lcrypto -lpthread -ldl
}

# Programs that mix records and calls: a beginning that already goes deep.
seed() {
	python3 - "$build/corpus" <<'PYTHON'
import random
import sys

def program(r):
    out = bytearray([r.randrange(32)])
    for _ in range(r.randrange(3, 30)):
        op = r.choice([0, 0, 0, 18, 6, 6, 8, 8, 10, 11, 12, 13, 14, 15, 16, 19, 3, 4, 5, 17])
        out.append(op)
        out += bytes(r.randrange(256) for _ in range(r.randrange(2, 8)))
    return bytes(out)

for i in range(60):
    with open(f'{sys.argv[1]}/seed{i:02}', 'wb') as f:
        f.write(program(random.Random(i)))
PYTHON
}

build || {
	echo 'fuzz: the build failed: run tools/deps.sh build check fuzz' >&2
	finish 0 1
}
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=0}
if [ $# -gt 0 ]; then
	"$build/fuzz_receive" "$@" || finish 0 1
	finish 1 0
fi
seed || finish 0 1
log=$build/fuzz.log
"$build/fuzz_receive" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=2048 \
	-len_control=20 -print_final_stats=1 -artifact_prefix="$build/findings/" "$build/corpus" \
	>"$log" 2>&1
status=$?
tail -n 25 "$log"
coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2)
echo "coverage: ${coverage:-0} edges"
[ $status = 0 ] || finish 0 1
if [ "${coverage:-0}" -lt $least_coverage ]; then
	echo "fuzz: less than $least_coverage edges were reached" >&2
	finish 0 1
fi
finish 1 0
