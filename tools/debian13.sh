#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/debian13.sh make
#        tools/debian13.sh run COMMAND [ARGUMENT...]
#
# Debian 13 (trixie) in a folder, for what wants its libc, compiler, OpenSSL or GnuTLS. Needs
# root, and debootstrap (tools/deps.sh debian13). See tools/folder.sh for what the two commands
# do and where COMMAND finds itself.
#
# TLSULP_DEBIAN13: the folder (default: build/trixie in the source tree).
set -euo pipefail

# shellcheck source=tools/folder.sh
. "$(dirname "$0")/folder.sh"
packages=(gcc libc6-dev make meson ninja-build pkgconf python3 libssl-dev libgcrypt20-dev
	libgnutls28-dev libcmocka-dev nettle-dev openssl gnutls-bin tcpdump iproute2 procps
	nginx)
[ "$(dpkg --print-architecture)" != amd64 ] || packages+=(libipsec-mb-dev)
folder_use debian13 "${TLSULP_DEBIAN13:-$folder_source/build/trixie}" trixie "${packages[@]}"

case ${1-} in
make)
	folder_make
	;;
run)
	shift
	[ $# -gt 0 ] || folder_die "run what? See the head of tools/debian13.sh"
	folder_is_made ||
		folder_die "$folder_root is not there: run 'tools/debian13.sh make' first"
	folder_run "$@"
	;;
*)
	folder_die "see the head of tools/debian13.sh"
	;;
esac
