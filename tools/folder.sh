# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# To be sourced: a Debian suite in a folder, with its own libc, compiler and headers, and
# commands in it. Needs root, and debootstrap (tools/deps.sh debian13).
#
#   folder_use NAME FOLDER SUITE PACKAGE...   what the calls below are about; NAME begins messages
#   folder_is_made                            is it there, with these packages?
#   folder_make                               makes it, unless it is there with these packages
#   folder_run COMMAND [ARGUMENT...]          takes the place of this shell
#
# What was downloaded is kept beside the folder. It is put in its place when it is whole: who is
# interrupted leaves none, and the next run begins anew with what was downloaded.
#
# COMMAND runs in the folder, as root, in the present directory, with this environment but for
# PATH and the locale. The same files are there under the same names: the source tree, the
# build tree (TLSULP_BUILD, if set), the temporary directory, /proc, /sys and /dev. Signals,
# descriptors, exit status and the network are those of any program. Its mounts are in a
# namespace of its own and end with it.
#
# TLSULP_DEBIAN_MIRROR: where to download from (default: see tools/debian.sh).

folder_source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
folder_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck source=tools/debian.sh
. "$folder_source/tools/debian.sh"

folder_use() {
	folder_name=$1 folder_root=$2 folder_suite=$3
	shift 3
	folder_packages=("$@")
}

folder_die() {
	echo "$folder_name: $*" >&2
	exit 1
}

folder_check_tools() {
	[ "$(id -u)" = 0 ] || folder_die "root is needed to make and enter $folder_root"
	command -v debootstrap >/dev/null ||
		folder_die "debootstrap is missing: run 'tools/deps.sh debian13'"
	[ -r $folder_keyring ] ||
		folder_die "$folder_keyring is missing: run 'tools/deps.sh debian13'"
}

folder_is_made() {
	[ "$(cat "$folder_root/.made" 2>/dev/null)" = "${folder_packages[*]}" ]
}

# debootstrap mounts, and is killed sometimes: its mounts are to end with it.
folder_bootstrap() {
	local include
	include=$(IFS=, && echo "${folder_packages[*]}")
	rm -rf "$folder_root.new"
	mkdir -p "$folder_root.new" "$folder_root.cache"
	unshare --mount debootstrap --variant=minbase --keyring=$folder_keyring \
		--cache-dir="$folder_root.cache" --include="$include" "$folder_suite" \
		"$folder_root.new" "$(debian_mirror)" >"$folder_root.log" 2>&1 || {
		tail -n 20 "$folder_root.log" "$folder_root.new/debootstrap/debootstrap.log" >&2 || true
		folder_die "$folder_suite could not be made: see above, and $folder_root.log"
	}
}

folder_make() {
	folder_check_tools
	mkdir -p "$(dirname "$folder_root")"
	folder_root=$(realpath -m "$folder_root")
	exec 9>"$folder_root.lock"
	flock 9
	if ! folder_is_made; then
		echo "$folder_name: making $folder_root" >&2
		folder_bootstrap
		rm -rf "$folder_root"
		echo "${folder_packages[*]}" >"$folder_root.new/.made"
		mv "$folder_root.new" "$folder_root"
	fi
	exec 9>&-
}

folder_run() {
	# shellcheck disable=SC2016
	exec unshare --mount bash -c 'set -eu; . "$0"; folder_enter "$@"' \
		"$folder_source/tools/folder.sh" "$(realpath "$folder_root")" "$PWD" "$@"
}

# Inside the mount namespace, whose mounts nobody else sees.
folder_enter() {
	local place root=$1 directory=$2
	shift 2
	for place in "$folder_source" "${TLSULP_BUILD:-$folder_source}" "${TMPDIR:-/tmp}"; do
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
