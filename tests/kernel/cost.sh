#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# cost.sh [SUITE...]: what send, sendfile and recv of 16 KiB records cost with our module, in
# proportion to the in-tree one, on the kernels of Debian suites (all three if none is named).
# Each module gets a boot with the same kernel and the same initramfs but for the module, on a
# machine whose clock counts instructions, so that the figures can be had again to a microsecond
# whatever else the host does; with and without the processor's fast "rep movsb" (erms), which an
# emulator counts as one instruction.
#
# "calls" is the time of those calls alone, "all" includes the plain TCP of the other end. Ends
# with 0 if no proportion is above 1. The last line is "N passed, M failed".
#
# TLSULP_BUILD: the build tree (default: build). Results are in its kernel/SUITE/*.cost.log.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/kernel/guest.sh
. "$here/guest.sh"
passed=0 failed=0

# measure MODULE CPU: from its console, "cost ..." lines
measure() {
	local log=$work/$1.$2.cost.log
	TLSULP_GUEST_MACHINE="-accel tcg,thread=single -icount shift=0 -smp 1 -cpu $2" \
		"$top/tests/guest/boot.sh" "$kernel/vmlinuz" "$work/initramfs" 1200 "$log" \
		guest: cost "$1" || {
		cat "$log"
		failed=$((failed + 1))
	}
	grep '^cost ' "$log" >"$work/$1.$2.cost"
}

# Both files have the same lines but for the two figures.
compare() {
	paste -d ' ' "$work/in-tree.$1.cost" "$work/ours.$1.cost" | awk -v machine="$suite $1" '{
		calls = $9 / $4; all = $10 / $5; bad = calls > 1 || all > 1
		printf "%s %s: %-8s TLS %s: in-tree %.3f s/GiB, ours %.3f: calls %.3f, all %.3f\n",
			bad ? "not ok" : "ok", machine, $2, $3, $4 / 1e9, $9 / 1e9, calls, all
	}'
}

make_files
[ $# -gt 0 ] || set -- bookworm trixie sid
for suite in "$@"; do
	for module in in-tree ours; do
		guest_use "$suite" "$module"
		measure "$module" max,-erms
		measure "$module" max
	done
	for cpu in max,-erms max; do
		lines=$(compare $cpu)
		echo "$lines"
		passed=$((passed + $(grep -c '^ok' <<<"$lines")))
		failed=$((failed + $(grep -c '^not ok' <<<"$lines")))
	done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
