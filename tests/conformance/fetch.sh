#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# fetch.sh CACHE: gets the newest linux-source-X.Y of Debian sid into CACHE and
# links CACHE/linux to the few files of it that the conformance run needs. apt
# does the work and checks the signatures, with folders of its own: nothing of
# the machine's package lists or sources changes. What is there is not fetched
# again; the package lists are read anew once a day.
set -eu

cache=$(mkdir -p "$1" && cd "$1" && pwd)
mirror=$("$(dirname "$0")/../../tools/mirror.sh")
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
selftests=tools/testing/selftests

say() {
	echo "conformance: $*" >&2
}

die() {
	say "$@"
	exit 2
}

our_apt() {
	command=$1
	shift
	"$command" -q -o Dir::Etc::sourcelist="$cache/apt/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$cache/apt/state" \
		-o Dir::State::lists="$cache/apt/lists" -o Dir::Cache="$cache/apt/cache" \
		-o APT::Sandbox::User=root -o Acquire::Languages=none \
		-o APT::Default-Release= "$@"
}

update_lists() {
	if [ -n "$(find "$cache/apt/updated" -mtime -1 2>/dev/null)" ]; then
		return
	fi
	[ -r "$keyring" ] || die "$keyring is missing: apt install debian-archive-keyring"
	mkdir -p "$cache/apt/state" "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
	echo "deb [signed-by=$keyring] $mirror sid main" >"$cache/apt/sources.list"
	say "reading the package lists of sid from $mirror"
	our_apt apt-get -o APT::Update::Error-Mode=any update >&2 || return 1
	touch "$cache/apt/updated"
}

newest() {
	our_apt apt-cache search --names-only '^linux-source-[0-9.]+$' |
		sed 's/ .*//' | sort -V | tail -n 1
}

version_of() {
	our_apt apt-cache show "$1" | sed -n 's/^Version: //p' | head -n 1
}

download() {
	rm -rf "$cache/download"
	mkdir "$cache/download"
	say "downloading $1"
	(cd "$cache/download" && our_apt apt-get download "$1" >&2) ||
		die "$1 could not be downloaded: check the network, or name a mirror in TLSULP_DEBIAN_MIRROR"
	mv "$cache"/download/*.deb "$2"
	rmdir "$cache/download"
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

if ! update_lists; then
	[ -e "$cache/linux/$selftests/net/tls.c" ] ||
		die "sid's package lists could not be read: check the network, or name a mirror in TLSULP_DEBIAN_MIRROR"
	say "sid's package lists could not be read: using $(readlink "$cache/linux")"
	exit 0
fi
package=$(newest)
[ -n "$package" ] || die "sid has no linux-source-X.Y: delete $cache/apt and try again"
name="${package}_$(version_of "$package" | tr ':' '_')"
[ -e "$cache/$name.deb" ] || [ -d "$cache/$name" ] || download "$package" "$cache/$name.deb"
[ -d "$cache/$name" ] || extract "$cache/$name.deb" "$cache/$name"
ln -sfn "$name" "$cache/linux"
say "the suite is that of $name"
