# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# To be sourced: a guest with the kernel of a Debian suite and a module "tls" for it.
#
#   guest_use SUITE MODULE   SUITE may be debug (tools/kernel-debug.sh). MODULE is ours, which is built, or in-tree. Sets $suite, $module,
#                            $work (its folder in the build tree) and $kernel, and makes
#                            $work/initramfs
#
# make_files (files.sh) comes first.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(realpath -m "${TLSULP_BUILD:-$top/build}")
files=$build/kernel/files
python=/usr/bin/python3
# shellcheck source=tests/guest/initramfs.sh
. "$top/tests/guest/initramfs.sh"
# shellcheck source=tests/kernel/files.sh
. "$top/tests/kernel/files.sh"

# A module's id, which the linker wrote into it.
id_of() {
	readelf -n "$1" | sed -n 's/ *Build ID: //p'
}

# Where the kernel has no SM4 or ARIA, a test of it can only fail.
names_for() {
	local lacks=^$
	grep -q '^CONFIG_CRYPTO_SM4.*=[my]' "$kernel/config" || lacks+='|sm4'
	grep -q '^CONFIG_CRYPTO_ARIA=[my]' "$kernel/config" || lacks+='|aria'
	grep -vE "$lacks" "$files/names" >"$work/names"
	grep -v mutliproc "$work/names" >"$work/names.single"
	grep mutliproc "$work/names" >"$work/names.many"
	: >"$work/names.fatal"
}

make_initramfs() {
	local file release in_tree
	release=$(ls "$kernel/lib/modules")
	initramfs_begin "$work/initramfs.root"
	mkdir "$initramfs_root/guest"
	initramfs_program openssl nginx curl ss
	for file in "$top"/tests/kernel/{main,lib.sh,suite,programs,orders,bad,async,harsh,cost} "$files"/* \
		"$work"/names.{single,many}; do
		initramfs_copy "$file" "/guest/$(basename "$file")"
	done
	echo 'nobody:x:65534:65534:nobody:/:/bin/sh' >>"$initramfs_root/etc/passwd"
	echo 'nogroup:x:65534:' >>"$initramfs_root/etc/group"
	in_tree=$kernel/lib/modules/$release/kernel/net/tls/tls.ko
	id_of "$in_tree" >"$initramfs_root/guest/id.in-tree"
	echo "${TLSULP_PATIENCE:-1}" >"$initramfs_root/guest/patience"
	if [ "$module" = ours ]; then
		id_of "$work/src/kernel/tls.ko" >"$initramfs_root/guest/id.ours"
		initramfs_copy "$work/src/kernel/tls.ko" \
			"/lib/modules/$release/updates/dkms/tls.ko"
	fi
	# shellcheck disable=SC2046 # no spaces in their names
	initramfs_modules "$kernel" $(cd "$kernel/lib/modules/$release/kernel" && ls -d crypto lib \
		arch/x86/crypto net/tls drivers/net/bonding drivers/net/veth.ko net/ipv4/{inet,tcp}_diag.ko 2>/dev/null)
	initramfs_end "$top/tests/guest/init" "$work/initramfs"
	rm -rf "$work/initramfs.root"
}

guest_use() {
	suite=$1 module=$2 work=$build/kernel/$1 kernel=$build/kernel/$1/linux
	mkdir -p "$work"
	if [ "$suite" = debug ]; then
		TLSULP_BUILD=$build "$top/tools/kernel-debug.sh" || exit 2
	elif [ "$module" = ours ]; then
		TLSULP_BUILD=$build "$top/tools/kernel.sh" build "$suite" || exit 2
	else
		ln -sfn "$(realpath "$("$top/tests/guest/kernel.sh" "$suite" "$build/guest")")" "$kernel"
	fi
	names_for
	make_initramfs
}
