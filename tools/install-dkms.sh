#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/install-dkms.sh [--remove], with DESTDIR in the environment if wanted.
#
# The kernel module's sources for DKMS, and a file that has it loaded at boot. Without DESTDIR
# it is built and installed, too: for the running kernel, or the one named in TLSULP_KERNEL.
# --remove takes all of that away; the kernel's own module is found again then.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n "s/^ *version: '\(.*\)',/\1/p" meson.build)
sources=${DESTDIR-}/usr/src/tlsulp-$version
at_boot=${DESTDIR-}/etc/modules-load.d/tlsulp.conf
kernel=${TLSULP_KERNEL:-$(uname -r)}

need_dkms() {
	command -v dkms >/dev/null || {
		echo "dkms is missing: apt install dkms linux-headers-$kernel" >&2
		exit 1
	}
}

# With other sources of the same version, DKMS would keep what it has built before.
forget() {
	[ -z "$(dkms status -m tlsulp -v "$version")" ] ||
		dkms remove -m tlsulp -v "$version" --all
}

if [ -z "${DESTDIR-}" ]; then
	need_dkms
	forget
fi
rm -rf "$sources" "$at_boot"
[ "${1-}" != --remove ] || exit 0
mkdir -p "$sources/engine" "$sources/kernel" "$(dirname "$at_boot")"
cp engine/*.[ch] "$sources/engine/"
cp kernel/*.[ch] kernel/Kbuild "$sources/kernel/"
cp -r LICENSES "$sources/"
sed "s/@VERSION@/$version/" packaging/dkms.conf >"$sources/dkms.conf"
cp packaging/modules-load.conf "$at_boot"
[ -n "${DESTDIR-}" ] || dkms install -m tlsulp -v "$version" -k "$kernel"
