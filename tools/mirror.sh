#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Prints the Debian archive to download from: TLSULP_DEBIAN_MIRROR if it is set, else the one
# that this machine's apt uses, unless that is another distribution's.
set -eu

if [ -n "${TLSULP_DEBIAN_MIRROR:-}" ]; then
	echo "$TLSULP_DEBIAN_MIRROR"
	exit
fi
found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
	/etc/apt/sources.list.d/*.sources 2>/dev/null |
	grep -v '^#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
echo "${found:-http://deb.debian.org/debian}"
