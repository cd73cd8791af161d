# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# To be sourced: makes an initramfs for a guest. It has busybox and kmod in it, and what
# the caller puts there, under the same names as on this machine.
#
#   initramfs_begin FOLDER               a new one, to be put together in FOLDER
#   initramfs_program NAME|FILE...       programs or libraries with the libraries they need
#   initramfs_copy FROM TO               a file or a folder
#   initramfs_modules KERNEL PART...     from the folder that kernel.sh printed: the modules in
#                                        lib/modules/RELEASE/kernel/PART
#   initramfs_end INIT FILE              INIT is a script that becomes /init; pack all into FILE
#
# Each ends the caller with a message where it cannot do its work.

initramfs_begin() {
	local busybox
	busybox=$(initramfs_find busybox) || exit 2
	initramfs_root=$1
	rm -rf "$initramfs_root"
	mkdir -p "$initramfs_root"/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,tmp,run,root,var/log}
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$initramfs_root"
	chmod 1777 "$initramfs_root/tmp"
	cp "$busybox" "$initramfs_root/bin/busybox"
	busybox_links
	initramfs_program modprobe # kmod's: the kernel calls it as /sbin/modprobe
	echo 'root:x:0:0:root:/root:/bin/sh' >"$initramfs_root/etc/passwd"
	echo 'root:x:0:' >"$initramfs_root/etc/group"
	echo '127.0.0.1 localhost' >"$initramfs_root/etc/hosts"
}

busybox_links() {
	local name
	for name in $("$initramfs_root/bin/busybox" --list); do
		[ -e "$initramfs_root/bin/$name" ] || ln -s busybox "$initramfs_root/bin/$name"
	done
}

initramfs_find() {
	PATH=$PATH:/usr/sbin:/sbin type -P "$1" || {
		echo "initramfs: $1 is missing: run 'tools/deps.sh guest'" >&2
		exit 2
	}
}

# Under its own name; what that name is a link to goes along as a plain file.
put() {
	mkdir -p "$initramfs_root$(dirname "$1")"
	rm -f "$initramfs_root$1"
	cp -L "$1" "$initramfs_root$1"
}

initramfs_program() {
	local name file library
	for name in "$@"; do
		file=$name
		[[ $name == */* ]] || file=$(initramfs_find "$name") || exit 2
		[ -e "$file" ] || {
			echo "initramfs: there is no $file" >&2
			exit 2
		}
		put "$file"
		for library in $(ldd "$file" 2>/dev/null | grep -oE '/[^ ]+'); do
			[ -e "$initramfs_root$library" ] || put "$library"
		done
	done
}

initramfs_copy() {
	mkdir -p "$initramfs_root$(dirname "$2")"
	cp -rL "$1" "$initramfs_root$2"
}

initramfs_modules() {
	local kernel=$1 release part
	shift
	release=$(ls "$kernel/lib/modules")
	mkdir -p "$initramfs_root/lib/modules/$release/kernel"
	cp "$kernel/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} \
		"$initramfs_root/lib/modules/$release/"
	for part in "$@"; do
		initramfs_copy "$kernel/lib/modules/$release/kernel/$part" \
			"/lib/modules/$release/kernel/$part"
	done
	/sbin/depmod -b "$initramfs_root" "$release" || exit 2
}

initramfs_end() {
	install -m 755 "$1" "$initramfs_root/init"
	(cd "$initramfs_root" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --quiet -o -H newc -R 0:0) >"$2" || exit 2
}
