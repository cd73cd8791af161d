#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/deps.sh [build] [demo] [check] [conformance] [debian13] [guest] [kernel]
#        [bench] [lint] [fuzz]
# Installs the Debian packages of those purposes that are missing, and starts no service.
set -euo pipefail

# "a|b": any one of them will do, and the first is installed if none is there.
packages_for() {
	case $1 in
	build) echo gcc libc6-dev make meson ninja-build pkg-config python3 libssl-dev \
		libgcrypt20-dev libgnutls28-dev libcmocka-dev ;;
	demo) echo 'nginx-light|nginx|nginx-core|nginx-full|nginx-extras' curl openssl ;;
	check)
		packages_for demo
		echo python3-pytest python3-cryptography lighttpd lighttpd-mod-openssl stunnel4 socat \
			redis-server redis-tools gnutls-bin wrk valgrind nettle-dev \
			libcap2-bin tcpdump iproute2 procps git openssh-client perl
		;;
	conformance)
		echo gcc libc6-dev libssl-dev libgcrypt20 python3-pytest tcpdump iproute2 util-linux \
			procps xz-utils ca-certificates debian-archive-keyring
		;;
	debian13) echo debootstrap debian-archive-keyring ca-certificates mount util-linux ;;
	guest)
		packages_for demo
		echo qemu-system-x86 busybox-static kmod cpio xz-utils ca-certificates \
			debian-archive-keyring
		;;
	kernel)
		packages_for debian13
		packages_for guest
		;;
	bench)
		echo 'nginx-light|nginx|nginx-core|nginx-full|nginx-extras' lighttpd \
			lighttpd-mod-openssl curl openssl iproute2 util-linux python3-matplotlib
		;;
	lint) echo clang-format cppcheck shellcheck ;;
	fuzz) echo clang 'libclang-rt-14-dev|libclang-rt-dev' libcmocka-dev libssl-dev python3 ;;
	*)
		echo "deps.sh: there is no list '$1': see the head of this file" >&2
		exit 1
		;;
	esac
	if [ "$1" = build ] && [ "$(dpkg --print-architecture)" = amd64 ]; then
		echo libipsec-mb-dev
	fi
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
	local choice name
	for choice in "$@"; do
		for name in ${choice//|/ }; do
			is_installed "$name" && continue 2
		done
		echo "${choice%%|*}"
	done
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "deps.sh: root is needed to install packages: run this as root: $*" >&2
		exit 1
	fi
}

# Debian asks this script before it starts a service; 101 means "do not".
policy=/usr/sbin/policy-rc.d
policy_is_ours=

forbid_services() {
	[ -e $policy ] && return
	policy_is_ours=1
	printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
	as_root chmod 755 $policy
}

allow_services() {
	[ -z "$policy_is_ours" ] || as_root rm -f $policy
}

install() {
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get install -y -q --no-install-recommends "$@"
}

main() {
	local purpose names more missing wanted=()
	if ! command -v dpkg-query >/dev/null; then
		echo "deps.sh: not a Debian system: install what README names by hand" >&2
		return 0
	fi
	for purpose in "${@:-build}"; do
		names=$(packages_for "$purpose") # ends this script if there is no such list
		read -r -d '' -a more <<<"$names" || true
		wanted+=("${more[@]}")
	done
	mapfile -t missing < <(missing_of "${wanted[@]}" | sort -u)
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing: ${missing[*]}"
	trap allow_services EXIT
	trap 'exit 130' INT TERM HUP
	forbid_services
	# The package lists are only fetched anew when the ones that are here do not do.
	install "${missing[@]}" || { as_root apt-get update -q && install "${missing[@]}"; }
}

main "$@"
