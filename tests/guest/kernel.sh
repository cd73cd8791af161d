#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# kernel.sh SUITE CACHE: gets the newest kernel of a Debian suite (bookworm, trixie, sid)
# into CACHE, unpacks it there, and prints the folder: vmlinuz, config, and modules under
# lib/modules/RELEASE, uncompressed and indexed. Nothing is installed. What is there is
# not fetched again; without a network the last one does.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=$1
cache=$(mkdir -p "$2/$suite" && cd "$2/$suite" && pwd)
# shellcheck source=tools/debian.sh
. "$here/../../tools/debian.sh"

# The parts of the kernel that a guest without any hardware can need.
parts="crypto lib net arch drivers/net/bonding drivers/net/veth.ko"

die() {
	echo "guest: $*" >&2
	exit 2
}

# The kernel's own package and, since Debian split it, those with its parts.
packages() {
	image=$(depends_of linux-image-amd64 | grep -E '^linux-image-[0-9]')
	echo "$image"
	depends_of "$image" | grep -E '^linux-(base|binary|modules)-[0-9]' || true
}

depends_of() {
	debian_apt apt-cache show "$1" | sed -n 's/^Depends: //p' | head -n 1 |
		tr ',' '\n' | sed 's/^ *//; s/ .*//'
}

# All that was downloaded into $1 becomes the folder $2.
unpack() {
	mkdir "$1/all"
	for deb in "$1"/*.deb; do
		dpkg-deb -x "$deb" "$1/all"
	done
	mkdir -p "$1/new/lib/modules"
	find "$1/all" -name 'vmlinuz*' -type f -exec mv {} "$1/new/vmlinuz" \;
	find "$1/all" \( -name config -o -name 'config-*' \) -type f -exec mv {} "$1/new/config" \;
	for from in "$1"/all/lib/modules/* "$1"/all/usr/lib/modules/*; do
		if [ -d "$from/kernel/net" ]; then
			keep "$from" "$1/new/lib/modules/$(basename "$from")"
		fi
	done
	/sbin/depmod -b "$1/new" "$(ls "$1/new/lib/modules")"
	echo "$parts" >"$1/new/parts"
	rm -rf "$2"
	mv "$1/new" "$2"
}

keep() {
	for part in $parts; do
		mkdir -p "$2/kernel/$(dirname "$part")"
		mv "$1/kernel/$part"* "$2/kernel/$(dirname "$part")/" # it may be compressed
	done
	mv "$1"/modules.* "$2/"
	find "$2" -name '*.ko.xz' -exec xz -d {} +
}

debian_use "$suite" "$cache"
if ! debian_update; then
	[ -e "$cache/linux/vmlinuz" ] ||
		die "the package lists of $suite could not be read: check the network, or name a mirror in TLSULP_DEBIAN_MIRROR"
	echo "guest: the package lists of $suite could not be read: using $(readlink "$cache/linux")" >&2
	echo "$cache/linux"
	exit
fi
names=$(packages)
[ -n "$names" ] || die "$suite has no linux-image-amd64: delete $cache/apt and try again"
image=$(echo "$names" | head -n 1)
name="${image}_$(debian_version "$image")"
if [ "$(cat "$cache/$name/parts" 2>/dev/null)" != "$parts" ]; then
	rm -rf "$cache/unpack"
	mkdir "$cache/unpack"
	for package in $names; do
		debian_download "$package" "$cache/unpack/$package.deb" || exit 2
	done
	unpack "$cache/unpack" "$cache/$name"
	rm -rf "$cache/unpack"
fi
ln -sfn "$name" "$cache/linux"
echo "$cache/linux"
