#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh [--in-tree] [--jobs "JOB..."] [SUITE...]: builds the kernel module for the kernels of
# Debian suites (bookworm, trixie and sid if none is named), boots them in QEMU, without KVM, and
# tests the module there. A job is a boot of its own; they are the files beside this one:
#
#   suite      the kernel's own suite (tests/conformance/fetch.sh), every test whose cipher the
#              kernel has
#   programs   nginx, openssl s_server, a static program, ss
#   orders     loading and unloading, ours and the in-tree one, bonding
#   bad        what bad things get
#   async      the same, and parts of the suite, with AEADs that call back later
#   harsh      the same, 4 processes at once, resets, memory that is refused: for the kernel "debug"
#
# SUITE may also be debug, the kernel that watches itself (tools/kernel-debug.sh).
#
# --in-tree: the in-tree module instead, of which only the suite's score is taken down, in
# in-tree/RELEASE.txt beside this file. A test in which the kernel itself comes to its end has
# failed; the others get another boot without it. The last line is "N passed, M failed".
#
# TLSULP_BUILD: the build tree (default: build). Kernels are in its folder guest/, modules in
# kernel/, the consoles' logs in kernel/SUITE/JOB.log.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
limit=${TLSULP_GUEST_LIMIT:-3600}
# shellcheck source=tests/kernel/guest.sh
. "$here/guest.sh"

die() {
	echo "check-kernel: $*" >&2
	exit 2
}

# boot JOB: 0, or how the guest ended. It says so when the kernel does: an oops is a panic.
boot() {
	"$here/../guest/boot.sh" "$kernel/vmlinuz" "$work/initramfs" "$limit" \
		"$work/$module.$1.log" oops=panic guest: "$1" "$module"
}

# The test that was under way when the log ended.
last_test() {
	awk '$1 == "#" && $2 == "RUN" { name = $3 } /^(not )?ok / { name = "" } END { print name }' "$1"
}

# 6.1's in-tree module has a BUG in a test of the suite.
boot_without_the_fatal() {
	local status=0 name
	while boot suite || status=$?; [ "$status" = 125 ]; do
		name=$(last_test "$work/$module.suite.log")
		[ -n "$name" ] || break
		echo "the kernel came to its end in $name"
		echo "$name" >>"$work/names.fatal"
		sed -i "/^$name\$/d" "$work"/names.{single,many}
		make_initramfs
		status=0
	done
	return "$status"
}

# Counts the lines of the log; a guest that ended badly is one failure at least.
run_job() {
	local job=$1 log=$work/$module.$1.log status=0 p f line
	echo "== $suite: $job with the module $module"
	if [ "$module" = ours ]; then
		boot "$job" || status=$?
	else
		boot_without_the_fatal || status=$?
	fi
	if [ "$job" = suite ]; then
		line=$(count_suite "$log")
		echo "$line"
		line=$(tail -n 1 <<<"$line")
		p=${line%% *} f=${line#*, } f=${f%% *}
	else
		cat "$log"
		p=$(grep -c '^ok ' "$log") f=$(grep -c '^not ok ' "$log")
	fi
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then
		grep '^not ok' "$log" >&2
		echo "the guest ended with status $status: its console is $log" >&2
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f))
}

count_suite() {
	local score=() version
	version=$(basename "$(readlink "$kernel")")
	version=${version##*_}
	[ "$module" = ours ] || score=(--score "$here/in-tree/${version%.*}.txt" --title
		"The in-tree module of Linux $version (Debian $suite), suite of $(readlink "$build/conformance/linux").")
	$python "$here/count.py" --console "$1" --module "$module" \
		--total "$(wc -l <"$files/names")" --fatal "$work/names.fatal" "${score[@]}" \
		"$work"/names.{single,many,fatal}
}

run_suite() {
	local job
	guest_use "$1" "$module"
	for job in $jobs; do
		run_job "$job"
	done
}

module=ours jobs='suite programs orders bad async'
while [ $# -gt 0 ]; do
	case $1 in
	--in-tree) module=in-tree jobs=suite ;;
	--jobs) jobs=$2 && shift ;;
	-*) die "see the head of tests/kernel/run.sh" ;;
	*) break ;;
	esac
	shift
done
passed=0 failed=0
make_files
[ $# -gt 0 ] || set -- bookworm trixie sid
for suite in "$@"; do
	run_suite "$suite"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
