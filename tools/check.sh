#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/check.sh BUILD [unit] [integration] [interop]
# Runs the tests of a finished build; the last line is "N passed, M failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- unit integration interop
python=${PYTHON:-/usr/bin/python3}
passed=0 failed=0 skipped=0

# add STATUS JUNIT: a runner that fails without a failed test is itself a failure.
add() {
	local p f s
	read -r p f s < <("$python" tools/count_junit.py "$2")
	if [ "$1" != 0 ] && [ "$f" = 0 ]; then
		echo "the test runner ended with status $1: see its output above" >&2
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

run_unit() {
	local junit=$build/meson-logs/testlog.junit.xml
	if "$python" -c 'import json, sys; sys.exit(bool(json.load(sys.stdin)))' \
		< <(meson introspect --tests "$build"); then
		return
	fi
	rm -f "$junit"
	# shellcheck disable=SC2086 # MESON_TEST_ARGS is a list of words
	meson test -C "$build" --print-errorlogs ${MESON_TEST_ARGS-}
	add $? "$junit"
}

# run_pytest NAME FOLDER...
run_pytest() {
	local junit=$build/$1.junit.xml
	shift
	rm -f "$junit"
	# shellcheck disable=SC2086 # PYTEST_ARGS is a list of words
	TLSULP_BUILD=$build "$python" -m pytest -q -rsfE --junitxml="$junit" \
		-p no:cacheprovider ${PYTEST_ARGS-} "$@"
	add $? "$junit"
}

run_integration() {
	run_pytest integration tests/integration tests/preload
}

run_interop() {
	run_pytest interop tests/interop
}

for part in "$@"; do
	"run_$part"
done
[ "$skipped" = 0 ] || echo "$skipped skipped"
if [ $((passed + failed)) = 0 ]; then
	echo "nothing was tested: look for tests in tests/unit and tests/integration" >&2
	failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
