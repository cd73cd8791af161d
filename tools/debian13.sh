#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/debian13.sh make
#        tools/debian13.sh run COMMAND [ARGUMENT...]
#
# Debian 13 (trixie) in a folder, for what wants its libc, compiler, OpenSSL or GnuTLS. Needs
# root, and debootstrap (tools/deps.sh debian13).
#
# make: makes the folder, unless it is there and has all of $packages. What was downloaded is
#     kept beside it. A folder is put in its place when it is whole: who is interrupted leaves
#     none, and the next run begins anew with what was downloaded.
# run: COMMAND in the folder, as root, in the present directory, with this environment but for
#     PATH and the locale. The same files are there under the same names: the source tree, the
#     build tree (TLSULP_BUILD, if set), the temporary directory, /proc, /sys and /dev. COMMAND
#     takes the place of this process: signals, descriptors, exit status and the network are
#     those of any program. Its mounts are in a namespace of its own and end with it.
#
# TLSULP_DEBIAN13: the folder (default: build/trixie in the source tree).
# TLSULP_DEBIAN_MIRROR: where to download from (default: see tools/debian.sh).
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd -P)
# shellcheck source=tools/debian.sh
. "$source/tools/debian.sh"
root=${TLSULP_DEBIAN13:-$source/build/trixie}
suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=(gcc libc6-dev make meson ninja-build pkgconf python3 libssl-dev libgcrypt20-dev
	libgnutls28-dev libcmocka-dev nettle-dev openssl gnutls-bin tcpdump iproute2 procps
	nginx)
[ "$(dpkg --print-architecture)" != amd64 ] || packages+=(libipsec-mb-dev)

die() {
	echo "debian13: $*" >&2
	exit 1
}

check_tools() {
	[ "$(id -u)" = 0 ] || die "root is needed to make and enter $root"
	command -v debootstrap >/dev/null ||
		die "debootstrap is missing: run 'tools/deps.sh debian13'"
	[ -r $keyring ] || die "$keyring is missing: run 'tools/deps.sh debian13'"
}

is_made() {
	[ "$(cat "$root/.made" 2>/dev/null)" = "${packages[*]}" ]
}

# debootstrap mounts, and is killed sometimes: its mounts are to end with it.
bootstrap() {
	local include
	include=$(IFS=, && echo "${packages[*]}")
	rm -rf "$root.new"
	mkdir -p "$root.new" "$root.cache"
	unshare --mount debootstrap --variant=minbase --keyring=$keyring \
		--cache-dir="$root.cache" --include="$include" $suite "$root.new" \
		"$(debian_mirror)" >"$root.log" 2>&1 || {
		tail -n 20 "$root.log" "$root.new/debootstrap/debootstrap.log" >&2 || true
		die "$suite could not be made: see above, and $root.log"
	}
}

make_root() {
	check_tools
	mkdir -p "$(dirname "$root")"
	root=$(realpath -m "$root")
	exec 9>"$root.lock"
	flock 9
	is_made && return
	echo "debian13: making $root" >&2
	bootstrap
	rm -rf "$root"
	echo "${packages[*]}" >"$root.new/.made"
	mv "$root.new" "$root"
}

# Inside the mount namespace, whose mounts nobody else sees.
enter() {
	local place directory=$1
	shift
	for place in "$source" "${TLSULP_BUILD:-$source}" "${TMPDIR:-/tmp}"; do
		place=$(realpath -m "$place")
		mkdir -p "$place" "$root$place"
		mount --bind "$place" "$root$place"
	done
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LC_ALL=C.UTF-8
	# shellcheck disable=SC2016
	exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
}

case ${1-} in
make)
	make_root
	;;
run)
	shift
	[ $# -gt 0 ] || die "run what? See the head of tools/debian13.sh"
	is_made || die "$root is not there: run 'tools/debian13.sh make' first"
	root=$(realpath "$root")
	exec unshare --mount "$0" enter "$PWD" "$@"
	;;
enter) # for itself alone
	shift
	enter "$@"
	;;
*)
	die "see the head of tools/debian13.sh"
	;;
esac
