#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/sanitize.sh asan|tsan|conformance
# asan: unit and integration tests with the address and undefined behaviour sanitizers,
# in build-asan. tsan: unit tests with the thread sanitizer, in build-tsan. conformance:
# the kernel's suite with the sanitizers of asan.
# A sanitizer's report is a failure even if no test noticed it. TLSULP_SANITIZER tells the
# tests, so that those which cannot work so (valgrind, memory limits) skip themselves.
# The last line is "N passed, M failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
export TLSULP_SANITIZER=${1-}
case $TLSULP_SANITIZER in
conformance) build=$PWD/build-asan ;;
*) build=$PWD/build-$TLSULP_SANITIZER ;;
esac
reports=$build/reports
export MESON_TEST_ARGS='--timeout-multiplier=5'

make_build() {
	if [ ! -e "$build/build.ninja" ]; then
		meson setup "$build" -Db_sanitize="$1" -Db_lundef=false || exit 1
	fi
	ninja -C "$build" || exit 1
	rm -rf "$reports"
	mkdir "$reports"
}

# count COMMAND...: its last line says how many tests passed and failed.
count() {
	local log=$build/check.log line
	"$@" | tee "$log"
	line=$(tail -n 1 "$log")
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
	else
		failed=$((failed + 1))
	fi
}

count_reports() {
	local found
	found=$(find "$reports" -type f -size +0)
	[ -n "$found" ] || return
	# shellcheck disable=SC2086 # no spaces in these names
	head -n 60 $found
	failed=$((failed + $(wc -l <<<"$found")))
}

# The programs that the library is preloaded into have no sanitizer of their own: its
# runtime comes in through the library, too late for the check of the link order, and
# their leaks are theirs.
preloaded=verify_asan_link_order=0:detect_leaks=0

case $TLSULP_SANITIZER in
asan)
	make_build address,undefined
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	export ASAN_OPTIONS=log_path=$reports/unit
	# All 10,000 rounds of fork and kill are make check's.
	export TLSULP_BAD_ROUNDS=2000
	count tools/check.sh "$build" unit
	export ASAN_OPTIONS=$preloaded:log_path=$reports/integration
	count tools/check.sh "$build" integration
	;;
tsan)
	make_build thread
	export TSAN_OPTIONS=log_path=$reports/unit:halt_on_error=1
	# These have no threads; the sanitizer makes single steps of a traced child too slow.
	MESON_TEST_ARGS+=' --no-suite bad'
	count tools/check.sh "$build" unit
	;;
conformance)
	make_build address,undefined
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	export ASAN_OPTIONS=$preloaded:log_path=$reports/conformance
	export TLSULP_BUILD=$build
	count tests/conformance/run.sh
	;;
*)
	echo "usage: tools/sanitize.sh asan|tsan|conformance" >&2
	exit 1
	;;
esac
count_reports
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
