# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=sh
#
# To be sourced: packages of one Debian suite into a folder, whatever Debian the machine
# has. apt does the work and checks the signatures, with folders of its own: nothing of
# the machine's package lists or sources changes. The package lists are read anew once a day.
#
#   debian_use SUITE FOLDER       what the calls below are about; FOLDER is absolute
#   debian_update                 read the package lists; not 0 if they cannot be had
#   debian_newest PATTERN         the package of that name (extended regular expression)
#                                 with the highest version number in its name
#   debian_version PACKAGE        its version, as it stands in file names
#   debian_download PACKAGE FILE  not 0 if it cannot be had
#
# TLSULP_DEBIAN_MIRROR names another mirror than the machine's own.

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

debian_use() {
	debian_suite=$1 debian_folder=$2
}

# The machine's own mirror, unless it is one of another distribution.
debian_mirror() {
	if [ -n "${TLSULP_DEBIAN_MIRROR:-}" ]; then
		echo "$TLSULP_DEBIAN_MIRROR"
		return
	fi
	debian_found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
		/etc/apt/sources.list.d/*.sources 2>/dev/null |
		grep -v '^#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
	echo "${debian_found:-http://deb.debian.org/debian}"
}

debian_apt() {
	debian_command=$1
	shift
	"$debian_command" -q -o Dir::Etc::sourcelist="$debian_folder/apt/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$debian_folder/apt/state" \
		-o Dir::State::lists="$debian_folder/apt/lists" \
		-o Dir::Cache="$debian_folder/apt/cache" \
		-o APT::Sandbox::User=root -o Acquire::Languages=none \
		-o APT::Default-Release= "$@"
}

debian_update() {
	if [ -n "$(find "$debian_folder/apt/updated" -mtime -1 2>/dev/null)" ]; then
		return
	fi
	if ! [ -r "$debian_keyring" ]; then
		echo "$debian_keyring is missing: apt install debian-archive-keyring" >&2
		return 1
	fi
	mkdir -p "$debian_folder/apt/state" "$debian_folder/apt/lists/partial" \
		"$debian_folder/apt/cache/archives/partial"
	echo "deb [signed-by=$debian_keyring] $(debian_mirror) $debian_suite main" \
		>"$debian_folder/apt/sources.list"
	echo "reading the package lists of $debian_suite from $(debian_mirror)" >&2
	debian_apt apt-get -o APT::Update::Error-Mode=any update >&2 || return 1
	touch "$debian_folder/apt/updated"
}

debian_newest() {
	debian_apt apt-cache search --names-only "$1" | sed 's/ .*//' | sort -V | tail -n 1
}

debian_version() {
	debian_apt apt-cache show "$1" | sed -n 's/^Version: //p' | head -n 1 | tr ':' '_'
}

debian_download() {
	rm -rf "$debian_folder/download"
	mkdir "$debian_folder/download"
	echo "downloading $1 of $debian_suite" >&2
	if ! (cd "$debian_folder/download" && debian_apt apt-get download "$1" >&2); then
		echo "$1 could not be downloaded: check the network, or name a mirror in TLSULP_DEBIAN_MIRROR" >&2
		return 1
	fi
	mv "$debian_folder"/download/*.deb "$2"
	rmdir "$debian_folder/download"
}
