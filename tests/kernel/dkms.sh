#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# dkms.sh [SUITE...]: `make install-dkms` and back, for real, in the folders of Debian suites
# (tools/kernel.sh; all three if none is named): DKMS builds the module there with that suite's
# own tools, and modprobe and modinfo prefer it to the in-tree one. The last line is "N passed, M failed".
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
TLSULP_BUILD=$(realpath -m "${TLSULP_BUILD:-$top/build}")
export TLSULP_BUILD
passed=0 failed=0

tell() {
	if [ "$1" = 0 ]; then
		echo "ok $2"
		passed=$((passed + 1))
	else
		echo "not ok $2"
		failed=$((failed + 1))
	fi
}

in_folder() {
	"$top/tools/kernel.sh" run "$suite" "$@"
}

# Which file the name stands for: what modprobe loads, and what modinfo finds, agree.
module_file() {
	local file
	file=$(in_folder modinfo -k "$release" -n tls) &&
		in_folder modprobe -S "$release" --show-depends tls | grep -qF "insmod $file" &&
		echo "$file"
}

# The package lists are those that the folder was made from, as long as the mirror has the same.
get_dkms() {
	local install=(apt-get -q -y --no-install-recommends install dkms)
	in_folder "${install[@]}" || { in_folder apt-get -q update && in_folder "${install[@]}"; }
}

# The folder has headers, but not the kernel's modules.
prepare() {
	local kernel=$TLSULP_BUILD/kernel/$suite/linux root=$TLSULP_BUILD/kernel/$suite/root
	"$top/tools/kernel.sh" make "$suite" || exit 2
	release=$(ls "$kernel/lib/modules")
	cp -r "$kernel/lib/modules/$release"/* "$root/lib/modules/$release/"
	in_folder sh -c 'command -v dkms >/dev/null' || get_dkms >"$log" 2>&1 || {
		cat "$log" >&2
		exit 2
	}
	in_folder depmod "$release"
}

[ $# -gt 0 ] || set -- bookworm trixie sid
for suite in "$@"; do
	log=$TLSULP_BUILD/kernel/$suite/dkms.log
	prepare
	tree=/lib/modules/$release
	[[ $(module_file) == *$tree/kernel/net/tls/tls.ko ]]
	tell $? "$suite: before, the in-tree module is found"
	in_folder env TLSULP_KERNEL="$release" "$top/tools/install-dkms.sh" >>"$log" 2>&1
	tell $? "$suite: make install-dkms builds and installs the module"
	[[ $(module_file) == *$tree/updates/dkms/tls.ko* ]]
	tell $? "$suite: then ours is found"
	in_folder modinfo -k "$release" -F description tls | grep -q tlsulp
	tell $? "$suite: which says that it is tlsulp's"
	in_folder modinfo -k "$release" -F alias tls | grep -qx tcp-ulp-tls
	tell $? "$suite: and has the alias that TCP_ULP asks for"
	in_folder grep -qx tls /etc/modules-load.d/tlsulp.conf
	tell $? "$suite: it is loaded at boot"
	in_folder env TLSULP_KERNEL="$release" "$top/tools/install-dkms.sh" >>"$log" 2>&1
	tell $? "$suite: it can be installed again over itself"
	in_folder env TLSULP_KERNEL="$release" "$top/tools/install-dkms.sh" --remove >>"$log" 2>&1
	[[ $(module_file) == *$tree/kernel/net/tls/tls.ko ]]
	tell $? "$suite: once removed, the in-tree module is found again"
	! in_folder sh -c 'ls -d /usr/src/tlsulp-* /etc/modules-load.d/tlsulp.conf' >/dev/null 2>&1
	tell $? "$suite: and nothing of ours is left"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
