#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: test_freestanding.sh
# The engine compiles alone, and needs nothing but memcpy, memset and memcmp.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
cc=${CC:-cc}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

fail() {
	echo "$*" >&2
	status=1
}

compile() {
	local source
	for source in engine/*.c; do
		$cc -std=gnu11 -O2 -Wall -Wextra -Wno-unused-parameter -Werror -ffreestanding \
			-nostdlib -fno-pic -fno-stack-protector -I. -c "$source" \
			-o "$dir/$(basename "$source" .c).o" || fail "$source does not compile alone"
	done
	$cc -nostdlib -r "$dir"/*.o -o "$dir/engine.o" || fail 'the objects do not link together'
}

check_symbols() {
	local needed
	needed=$(nm -u "$dir/engine.o" | awk '{ print $2 }' | grep -vxE 'memcpy|memset|memcmp')
	[ -z "$needed" ] || fail "the engine needs more than memcpy, memset and memcmp: $needed"
}

check_includes() {
	local foreign
	foreign=$(grep -HnE '^[[:space:]]*#[[:space:]]*include' engine/*.[ch] |
		grep -vE '#[[:space:]]*include[[:space:]]+("engine/[a-z]+\.h"|<(stdint|stddef|stdbool|errno|string)\.h>|<linux/(types|string|errno)\.h>)$')
	[ -z "$foreign" ] || fail "the engine includes what is not its own: $foreign"
}

# No state of its own: nothing writable is in the objects.
check_state() {
	local writable
	writable=$(nm "$dir/engine.o" | awk '$2 ~ /^[bBdDC]$/ { print $3 }')
	[ -z "$writable" ] || fail "the engine has writable global state: $writable"
}

compile
check_symbols
check_includes
check_state
exit $status
