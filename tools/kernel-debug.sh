#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/kernel-debug.sh
#
# A kernel from Debian sid's linux-source that watches itself (tests/kernel/debug.config), built in
# sid's folder (tools/kernel.sh), and the kernel module for it. Prints the module's path. What is
# there is not built again: another fragment costs what its options need.
#
# TLSULP_BUILD: the build tree (default: build). All is in its folder kernel/debug: source, obj,
# linux as tests/guest/kernel.sh makes it, src the module's sources, build.log.
set -euo pipefail
unset MAKEFLAGS MFLAGS # as in tools/kernel.sh
top=$(cd "$(dirname "$0")/.." && pwd -P)
TLSULP_BUILD=$(realpath -m "${TLSULP_BUILD:-$top/build}")
export TLSULP_BUILD
work=$TLSULP_BUILD/kernel/debug
fragment=$top/tests/kernel/debug.config

die() {
	echo "kernel-debug: $*" >&2
	exit 1
}

in_sid() {
	"$top/tools/kernel.sh" run sid "$@"
}

build_with() {
	in_sid make -C "$work/source" O="$work/obj" CC="$compiler" HOSTCC="$compiler" \
		-j "$(nproc)" "$@"
}

unpack() {
	local name
	"$top/tests/conformance/fetch.sh" "$TLSULP_BUILD/conformance"
	name=$(readlink "$TLSULP_BUILD/conformance/linux")
	[ -e "$TLSULP_BUILD/conformance/$name.deb" ] ||
		die "$name.deb is gone: delete $TLSULP_BUILD/conformance/$name and try again"
	now="$name $compiler"
	[ "$(cat "$work/unpacked" 2>/dev/null)" != "$now" ] || return 0
	rm -rf "$work"
	mkdir -p "$work/source" "$work/obj"
	dpkg-deb --fsys-tarfile "$TLSULP_BUILD/conformance/$name.deb" |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ -C "$work/source" --strip-components=1
	echo "$now" >"$work/unpacked"
}

is_built() {
	now="$now $(md5sum <"$fragment")"
	[ "$(cat "$work/made" 2>/dev/null)" = "$now" ]
}

# Options that the configuration refused are said: a kernel that watches less is not the one.
configure() {
	build_with tinyconfig >/dev/null
	# shellcheck disable=SC2016
	in_sid sh -c 'cd "$1" && "$2/scripts/kconfig/merge_config.sh" -m -O . .config "$3"' \
		sh "$work/obj" "$work/source" "$fragment" >/dev/null
	build_with olddefconfig >/dev/null
	grep -E '^CONFIG_[A-Z0-9_]+=[my]' "$fragment" | while read -r option; do
		grep -qE "^${option%=*}=[my]" "$work/obj/.config" || echo "$option"
	done >"$work/refused"
	[ ! -s "$work/refused" ] || die "this kernel has no $(tr '\n' ' ' <"$work/refused")"
}

build_kernel() {
	echo "kernel-debug: building the kernel, which takes a while: see $work/build.log" >&2
	configure
	build_with bzImage modules >"$work/build.log" 2>&1 || {
		tail -n 20 "$work/build.log" >&2
		die "the kernel could not be built: see above, and $work/build.log"
	}
	rm -rf "$work/linux" "$work/src"
	build_with modules_install INSTALL_MOD_PATH="$work/linux" >>"$work/build.log" 2>&1
	cp "$work/obj/arch/x86/boot/bzImage" "$work/linux/vmlinuz"
	cp "$work/obj/.config" "$work/linux/config"
	echo "$now" >"$work/made"
}

# Warnings are for tools/kernel.sh to find, with the kernels that people have.
build_module() {
	mkdir -p "$work/src/engine" "$work/src/kernel"
	cp -u "$top"/engine/*.[ch] "$work/src/engine/"
	cp -u "$top"/kernel/{*.[ch],Kbuild} "$work/src/kernel/"
	build_with M="$work/src/kernel" modules >"$work/module.log" 2>&1 || {
		cat "$work/module.log" >&2
		die "the module could not be built: see above"
	}
	echo "$work/src/kernel/tls.ko"
}

mkdir -p "$TLSULP_BUILD/kernel"
exec 8>"$work.lock"
flock 8 # two at once would take each other's files away
"$top/tools/kernel.sh" make sid
compiler=$(in_sid sh -c 'ls /usr/bin/gcc-[0-9]* | sort -V | tail -n 1')
unpack
is_built || build_kernel
[ ! -e "$top/kernel/Kbuild" ] || build_module
