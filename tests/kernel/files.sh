# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154
#
# To be sourced by guest.sh: what the guests of all kernels have in common goes to $files. Programs
# are static, so that they run in any guest and make their system calls with nothing between.

make_files() {
	mkdir -p "$files"
	make_suite
	make_programs
	make_settings
}

# As tests/conformance/run.sh does, but for the patience.
make_suite() {
	local cache=$build/conformance sources
	"$top/tests/conformance/fetch.sh" "$cache" || exit 2
	sources=$cache/linux/tools/testing/selftests
	gcc -O2 -g -w -static -Wl,--wrap=poll -isystem "$cache/linux/include" -I "$sources" \
		-o "$files/tls" "$sources/net/tls.c" "$top/tests/kernel/patience.c" || exit 2
	$python "$top/tests/conformance/names.py" "$files/tls" >"$files/names"
}

make_programs() {
	local program
	for program in "$top"/tests/kernel/progs/*.c; do
		gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -static -pthread -I "$top" -o \
			"$files/$(basename "$program" .c)" "$program" \
			"$top/tests/guest/pair.c" "$top/engine/cipher.c" || exit 2
	done
	gcc -std=gnu11 -O2 -static -o "$files/openssl_sendfile" \
		"$top/examples/openssl_sendfile.c" -lssl -lcrypto 2>"$files/static.log" || exit 2
}

make_settings() {
	[ -e "$files/cert.pem" ] || openssl req -x509 -newkey ec \
		-pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout "$files/key.pem" \
		-out "$files/cert.pem" 2>/dev/null || exit 2
	cat >"$files/openssl.cnf" <<-EOF
		openssl_conf = d
		[d]
		ssl_conf = s
		[s]
		system_default = x
		[x]
		Options = KTLS
	EOF
	cat >"$files/nginx.conf" <<-EOF
		user nobody nogroup;
		daemon off;
		worker_processes 1;
		pid /tmp/nginx.pid;
		error_log /tmp/nginx.debug debug;
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
				root /tmp/served;
				ssl_certificate /guest/cert.pem;
				ssl_certificate_key /guest/key.pem;
				ssl_protocols TLSv1.2 TLSv1.3;
				ssl_conf_command Options KTLS;
			}
		}
	EOF
}
