#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# fetch.sh CACHE: gets the newest linux-source-X.Y of Debian sid into CACHE and
# links CACHE/linux to the few files of it that the conformance run needs. What is
# there is not fetched again.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=$(mkdir -p "$1" && cd "$1" && pwd)
selftests=tools/testing/selftests
# shellcheck source=tools/debian.sh
. "$here/../../tools/debian.sh"

say() {
	echo "conformance: $*" >&2
}

die() {
	say "$@"
	exit 2
}

# The kernel's headers as a program sees them; the same steps as its headers_install.
install_header() {
	sed -e 's/[[:space:]]__user[[:space:]]\{1,\}/ /g' -e '/^#include <linux\/compiler.*>/d' \
		-e 's/^#\(ifndef\|define\|endif \/\*\)[[:space:]]*_UAPI/#\1 /' "$1" >"$2"
}

extract() {
	rm -rf "$2.new"
	mkdir -p "$2.new/include/linux"
	say "unpacking $(basename "$1")"
	dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ -C "$2.new" --strip-components=1 --wildcards \
			"*/$selftests/net/tls.c" "*/$selftests/kselftest*" \
			'*/include/uapi/linux/tls.h' '*/include/uapi/linux/tcp.h'
	[ -s "$2.new/$selftests/net/tls.c" ] || die "$1 has no $selftests/net/tls.c: report this"
	for header in tls.h tcp.h; do
		install_header "$2.new/include/uapi/linux/$header" "$2.new/include/linux/$header"
	done
	rm -rf "$2"
	mv "$2.new" "$2"
}

debian_use sid "$cache"
if ! debian_update; then
	[ -e "$cache/linux/$selftests/net/tls.c" ] ||
		die "sid's package lists could not be read: check the network, or name a mirror in TLSULP_DEBIAN_MIRROR"
	say "sid's package lists could not be read: using $(readlink "$cache/linux")"
	exit 0
fi
package=$(debian_newest '^linux-source-[0-9.]+$')
[ -n "$package" ] || die "sid has no linux-source-X.Y: delete $cache/apt and try again"
name="${package}_$(debian_version "$package")"
[ -e "$cache/$name.deb" ] || [ -d "$cache/$name" ] || debian_download "$package" "$cache/$name.deb" ||
	exit 2
[ -d "$cache/$name" ] || extract "$cache/$name.deb" "$cache/$name"
ln -sfn "$name" "$cache/linux"
say "the suite is that of $name"
