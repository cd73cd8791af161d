#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/install.sh BUILD PREFIX, with DESTDIR in the environment if wanted.
# The command has its library directory compiled in, so another prefix is another build.
set -eu
build=$1 prefix=$2

now=$(meson introspect --buildoptions "$build" | "${PYTHON:-/usr/bin/python3}" -c '
import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
if [ "$now" != "$prefix" ]; then
	meson configure "$build" --prefix="$prefix"
	ninja -C "$build"
fi
meson install -C "$build" --no-rebuild
if [ -z "${DESTDIR-}" ] && [ "$(id -u)" = 0 ]; then
	ldconfig
fi
