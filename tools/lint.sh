#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Formatting, static analysis, and the licence line of each file.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
mapfile -t sources < <(tools/sources.sh)
mapfile -t scripts < <(grep -rlE '^(#!/bin/(ba)?sh|# shellcheck shell=)' --exclude-dir='build*' --exclude-dir=.git .)
status=0

clang-format --dry-run -Werror "${sources[@]}" || {
	echo "the formatting differs: run 'make fmt'" >&2
	status=1
}
cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability \
	--inline-suppr --suppress=missingIncludeSystem --suppress=unknownMacro \
	-D__x86_64__ -I. -Iuser/include -j "$(nproc)" "${sources[@]}" || status=1
if command -v shellcheck >/dev/null; then
	shellcheck -x "${scripts[@]}" || status=1
fi
mapfile -t others < <(find . \( -path './build*' -o -path ./.git \) -prune -o \
	\( -name '*.py' -o -name meson.build -o -name Makefile \) -type f -print)
unlicensed=$(grep -L 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' "${sources[@]}" \
	"${scripts[@]}" "${others[@]}")
if [ -n "$unlicensed" ]; then
	echo "no SPDX line: $unlicensed" >&2
	status=1
fi
exit $status
