#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# `make bench`: each scenario runs its contenders in turn (A B A B ...) and
# reports medians and ratios; nothing here fails because something was slow.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
TLSULP_BUILD=$(cd "${TLSULP_BUILD:-$here/../build}" && pwd)
export TLSULP_BUILD
mkdir -p "$here/results"
"$here/memory.sh"
exec /usr/bin/python3 "$here/nginx.py" --out "$here/results/nginx.json" "$@"
