#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tests/model/run.sh BUILD SECONDS [SEED]
# Random walks against the reference model for SECONDS, with the ULP on both ends and, side
# by side, with OpenSSL's record layer on one; then walks whose model or bytes are falsified,
# which must be noticed. Without SEED other walks are taken each time.
# The last line is "N passed, M failed".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "$1")
seconds=${2:-60}
seed=${3:-$(date +%s)000}
walk=$build/tests/model/walk
passed=0 failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

export TLSULP_MODE=user # never the kernel's own
# The preloaded sanitizer comes too late for its own check; children end in the middle.
export ASAN_OPTIONS=${ASAN_OPTIONS-verify_asan_link_order=0:detect_leaks=0}
unset TLSULP_STAT

count() {
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
}

# A falsified model must differ soon: @1 is which kind, @2 the first seed.
noticed() {
	local status
	timeout 300 "$walk" --sabotage "$1" --seed "$2" --steps 2000 --seconds 100 >"$dir/log"
	status=$?
	if [ $status = 1 ] && grep -q '^walk: DIFFERENCE' "$dir/log"; then
		return 0
	fi
	echo "model: the sabotage '$1' was not noticed (status $status)" >&2
	return 1
}

even=$((seed - seed % 2))
echo "model: walks from seed $even for $seconds s"
"$walk" --seed $even --stride 2 --seconds "$seconds" >"$dir/both" 2>&1 &
both=$!
"$walk" --seed $((even + 1)) --stride 2 --seconds "$seconds" >"$dir/openssl" 2>&1 &
openssl=$!
wait $both
count $?
wait $openssl
count $?
cat "$dir/both" "$dir/openssl"
for kind in flip drop eor errno; do
	noticed $kind 2
	count $?
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
