#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The C files of this project, one a line: what `make fmt` and `make lint` look at.
cd "$(dirname "$0")/.." || exit 1
find . \( -path './build*' -o -path ./.cache -o -path ./.git \) -prune -o \
	-name '*.[ch]' -type f -print | sort
