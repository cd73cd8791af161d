#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh [--kernel-suite] [SUITE...]: boots the kernels of Debian suites (bookworm and sid if none is named),
# which have the TLS ULP, in QEMU, and proves there which home serves what. Needs no KVM and
# no root; a network only to get the kernels, once. The last line is "N passed, M failed".
#
# --kernel-suite: instead, the kernel's own TLS suite in auto mode, where the kernel and the
# userspace home share the work; sid's kernel if none is named, for older ones do not pass it.
# Without the tests that keep 12 or more processes busy for longer than the suite allows
# an emulated machine.
#
# TLSULP_BUILD: the build tree (default: build). Kernels, initramfs and the consoles' logs
# are in its folder guest/.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
TLSULP_BUILD=${TLSULP_BUILD:-$here/../../build}
build=$(cd "$TLSULP_BUILD" && pwd) || exit 2
work=$build/guest
seconds=${TLSULP_GUEST_LIMIT:-400}
# shellcheck source=tests/guest/initramfs.sh
. "$here/initramfs.sh"

# What the kernel of a suite can do beyond AES and ChaCha20, as main's words.
words_for() {
	case $1 in
	bookworm) ;;
	*) echo update limit ;;
	esac
}

make_files() {
	mkdir -p "$work/files"
	[ -e "$work/files/payload" ] || head -c 3000000 /dev/urandom >"$work/files/payload"
	[ -e "$work/files/cert.pem" ] || openssl req -x509 -newkey ec \
		-pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout "$work/files/key.pem" \
		-out "$work/files/cert.pem" 2>/dev/null || exit 2
	cat >"$work/files/openssl.cnf" <<-EOF
		openssl_conf = d
		[d]
		ssl_conf = s
		[s]
		system_default = x
		[x]
		Options = KTLS
	EOF
	cat >"$work/files/nginx.conf" <<-EOF
		user root;
		daemon off;
		pid /tmp/nginx.pid;
		error_log stderr;
		events { }
		http {
			access_log off;
			client_body_temp_path /tmp/body;
			proxy_temp_path /tmp/proxy;
			fastcgi_temp_path /tmp/fastcgi;
			uwsgi_temp_path /tmp/uwsgi;
			scgi_temp_path /tmp/scgi;
			sendfile on;
			server {
				listen 127.0.0.1:4400 ssl;
				root /guest;
				ssl_certificate /guest/cert.pem;
				ssl_certificate_key /guest/key.pem;
				ssl_protocols TLSv1.2 TLSv1.3;
				ssl_conf_command Options KTLS;
			}
		}
	EOF
}

# As tests/conformance/run.sh does.
make_kernel_suite() {
	local suite=$build/conformance sources
	"$here/../conformance/fetch.sh" "$suite" || exit 2
	sources=$suite/linux/tools/testing/selftests
	gcc -O2 -g -w -isystem "$suite/linux/include" -I "$sources" -o "$work/files/tls" \
		"$sources/net/tls.c" || exit 2
	/usr/bin/python3 "$here/../conformance/names.py" "$work/files/tls" |
		grep -v mutliproc >"$work/files/names"
}

# Libraries that libtlsulp opens by name, under the names that it uses.
aead_libraries() {
	/sbin/ldconfig -p | grep -oE '/[^ ]*/(libIPSec_MB|libcrypto|libgcrypt)\.so\.[0-9]+$'
}

make_initramfs() {
	local name
	initramfs_begin "$work/$1/root"
	initramfs_program "$build/tlsulp" "$build/libtlsulp.so" "$build/tests/guest/homes" \
		openssl nginx curl
	# shellcheck disable=SC2046 # no spaces in library names
	initramfs_program $(aead_libraries)
	mkdir "$initramfs_root/guest"
	mv "$initramfs_root$build"/{tlsulp,libtlsulp.so,tests/guest/homes} "$initramfs_root/guest/"
	for name in "$here/main" "$work"/files/*; do
		initramfs_copy "$name" "/guest/$(basename "$name")"
	done
	initramfs_modules "$2" crypto lib arch/x86/crypto net/tls
	initramfs_end "$here/init" "$work/$1/initramfs"
	rm -rf "$work/$1/root"
}

# Counts the lines of the log; a guest that ended badly is one failure at least.
run_suite() {
	local suite=$1 kernel log=$work/$1/console.log status=0 p f
	echo "== the kernel of $suite"
	kernel=$("$here/kernel.sh" "$suite" "$work") || exit 2
	make_initramfs "$suite" "$kernel"
	# shellcheck disable=SC2046 # words
	"$here/boot.sh" "$kernel/vmlinuz" "$work/$suite/initramfs" "$seconds" "$log" \
		guest: "$job" $(words_for "$suite") || status=$?
	cat "$log"
	p=$(grep -c '^ok ' "$log") f=$(grep -c '^not ok ' "$log")
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then
		echo "the guest ended with status $status: its console is $log" >&2
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f))
}

[ -x "$build/tests/guest/homes" ] || {
	echo "guest: $build/tests/guest/homes is missing: build first (make); only x86-64 has it" >&2
	exit 2
}
passed=0 failed=0
make_files
job=homes
if [ "${1-}" = --kernel-suite ]; then
	shift
	job=kernel-suite seconds=${TLSULP_GUEST_LIMIT:-1200}
	make_kernel_suite
	[ $# -gt 0 ] || set -- sid
fi
[ $# -gt 0 ] || set -- bookworm sid
for suite in "$@"; do
	run_suite "$suite"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
