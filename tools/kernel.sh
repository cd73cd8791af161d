#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/kernel.sh make SUITE
#        tools/kernel.sh build SUITE [MAKE-ARGUMENT...]
#        tools/kernel.sh run SUITE COMMAND [ARGUMENT...]
#
# What is needed to build the kernel module for the kernel of a Debian suite (bookworm, trixie,
# sid), whatever the machine is: that suite in a folder, with the compiler that the kernel was
# built with and the headers of the very kernel that tests/guest/kernel.sh gets. Needs root, and
# debootstrap (tools/deps.sh kernel). See tools/folder.sh for where a command finds itself.
#
# make: gets the kernel and makes the folder.
# build: that, and builds kernel/ with W=1 and checks it with sparse, in a copy of the sources
#     of its own, and compares the exported symbols with the in-tree module's. Prints the module's
#     path; ends with an error if there is a warning or a difference, in which case the module is
#     there nevertheless.
# run: COMMAND in the folder, which make has made.
#
# TLSULP_BUILD: the build tree (default: build). All is in its folder kernel/SUITE: root is the
# folder, linux the kernel, src the copy, build.log what the compiler and sparse said.
set -euo pipefail
# With "make check-kernel JOBS=..." the kernel's makefiles would take our JOBS for theirs.
unset MAKEFLAGS MFLAGS

# shellcheck source=tools/folder.sh
. "$(dirname "$0")/folder.sh"
TLSULP_BUILD=$(realpath -m "${TLSULP_BUILD:-$folder_source/build}")
export TLSULP_BUILD

use_suite() {
	suite=$1 work=$TLSULP_BUILD/kernel/$1 kernel=$TLSULP_BUILD/guest/$1/linux
	case $suite in
	bookworm | trixie | sid) ;;
	*) folder_die "bookworm, trixie or sid, and not '$suite'" ;;
	esac
	mkdir -p "$work"
	[ ! -e "$kernel" ] || use_release
}

use_release() {
	release=$(ls "$kernel/lib/modules")
	headers=/usr/src/linux-headers-$release
	packages=("linux-headers-$release" make sparse kmod)
	# A whole kernel is built there, too: tools/kernel-debug.sh.
	[ "$suite" != sid ] || packages+=(libc6-dev flex bison bc perl libelf-dev xz-utils)
	folder_use kernel "$work/root" "$suite" "${packages[@]}"
}

# The headers have the image's version to the last digit: image and folder are of one hour, or
# the release is in the name of both.
make_folder() {
	"$folder_source/tests/guest/kernel.sh" "$suite" "$TLSULP_BUILD/guest" >/dev/null
	use_release
	folder_make
	ln -sfn "$(realpath "$kernel")" "$work/linux"
	[ -e "$folder_root$headers/Module.symvers" ] ||
		folder_die "the folder has no $headers: delete $folder_root and try again"
	enable_sparse
}

# Newer kernels run this to see whether there is a sparse, and Debian's headers lack it.
enable_sparse() {
	local scripts
	for scripts in "$folder_root"/usr/src/linux-headers-*-common/scripts; do
		[ ! -e "$scripts/checker-valid.sh" ] || continue
		printf '#!/bin/sh\necho 1\n' >"$scripts/checker-valid.sh"
		chmod 755 "$scripts/checker-valid.sh"
	done
}

# Only what changed is copied, so that only that is built again.
copy_sources() {
	local from
	for from in "$folder_source"/{engine,kernel}/{*.[ch],Kbuild}; do
		from=${from#"$folder_source/"}
		[ -f "$folder_source/$from" ] || continue
		mkdir -p "$work/src/$(dirname "$from")"
		cmp -s "$folder_source/$from" "$work/src/$from" ||
			cp "$folder_source/$from" "$work/src/$from"
	done
}

in_folder() {
	(folder_run "$@")
}

# What was compiled with other arguments or by another kernel's compiler is of no use.
forget_other_builds() {
	local now="$release $*"
	[ "$(cat "$work/src/.made-with" 2>/dev/null)" != "$now" ] || return 0
	rm -rf "$work/src"
	mkdir -p "$work/src"
	echo "$now" >"$work/src/.made-with"
}

# CRC, name and kind of export of each symbol of the module tls.
exported() {
	awk -F '\t' '$3 ~ /(^|\/)tls$/ { print $1, $2, $4 }' "$1" | sort -k 2
}

# What bonding and drivers import from the in-tree module: with another CRC they could not be loaded.
exports_differ() {
	diff <(exported "$folder_root$headers/Module.symvers") <(exported "$work/src/kernel/Module.symvers")
}

warnings() {
	grep -E '(warning|error|WARNING|ERROR):' "$work/build.log"
}

# Two at once would take each other's files away.
build() {
	exec 8>"$work/src.lock"
	flock 8
	forget_other_builds "$@"
	copy_sources
	rm -f "$work/src/kernel/tls.ko"
	in_folder make -C "$headers" M="$work/src/kernel" W=1 C=1 -j "$(nproc)" \
		"$@" modules >"$work/build.log" 2>&1 || true
	[ -e "$work/src/kernel/tls.ko" ] || {
		cat "$work/build.log" >&2
		folder_die "the module could not be built for $release: see above"
	}
	echo "$work/src/kernel/tls.ko"
	if warnings >&2; then
		rm "$work/src/.made-with" # the next build is to say them again
		folder_die "building for $release gave warnings: see above, and $work/build.log"
	fi
	exports_differ >&2 ||
		folder_die "the symbols that the in-tree module of $release exports (<) are not ours (>)"
}

folder_name=kernel
[ $# -ge 2 ] || folder_die "see the head of tools/kernel.sh"
command=$1
use_suite "$2"
shift 2
case $command in
make)
	make_folder
	;;
build)
	[ -e "$folder_source/kernel/Kbuild" ] || folder_die "there is no kernel/Kbuild"
	make_folder
	build "$@"
	;;
run)
	[ -n "${headers-}" ] || folder_die "run 'tools/kernel.sh make $suite' first"
	folder_is_made || folder_die "run 'tools/kernel.sh make $suite' first"
	folder_run "$@"
	;;
*)
	folder_die "see the head of tools/kernel.sh"
	;;
esac
