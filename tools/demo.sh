#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: tools/demo.sh BUILD
# Debian's own nginx serves 256 MiB over TLS 1.2 and TLS 1.3 under `tlsulp run`. Programs fall
# back to their own records silently, so equal checksums prove nothing: the counters must show
# that the upper layer protocol carried every byte.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
tlsulp=$(realpath "${1:-build}")/tlsulp
python=${PYTHON:-/usr/bin/python3}
mib=${DEMO_MIB:-256}
size=$((mib << 20))
dir=$(mktemp -d "${TMPDIR:-/tmp}/tlsulp-demo.XXXXXX")
nginx_pid='' curl_pid=''

cleanup() {
	local status=$?
	trap - EXIT
	[ -z "$curl_pid" ] || kill "$curl_pid" 2>/dev/null || true
	if [ -n "$nginx_pid" ]; then
		kill -QUIT "$nginx_pid" 2>/dev/null || true
		for _ in $(seq 50); do
			kill -0 "$nginx_pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -TERM "$nginx_pid" 2>/dev/null || true
		wait "$nginx_pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
	echo "DEMO FAILED: $*" >&2
	if [ -s "$dir/nginx.log" ]; then
		echo "nginx said:" >&2
		tail -n 20 "$dir/nginx.log" >&2
	fi
	echo "'$tlsulp doctor -- nginx' tells more." >&2
	exit 1
}

find_nginx() {
	nginx=$(PATH=$PATH:/usr/sbin:/sbin command -v nginx) ||
		fail "nginx is not installed: run 'make deps'"
}

make_files() {
	chmod 755 "$dir" # nginx's workers are another user
	mkdir "$dir/html" "$dir/tmp"
	head -c "$size" /dev/urandom >"$dir/html/big"
	head -c $((256 << 10)) /dev/urandom >"$dir/html/small"
	sum=$(sha256sum <"$dir/html/big")
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout "$dir/key.pem" -out "$dir/cert.pem" \
		2>"$dir/openssl.log" || fail "openssl made no certificate: $(cat "$dir/openssl.log")"
}

free_port() {
	"$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The small file is slow on purpose: while it trickles, the connection that carried the big
# one is open and `tlsulp stat` shows it.
write_config() {
	local user=''
	[ "$(id -u)" != 0 ] || user='user www-data;'
	cat >"$dir/nginx.conf" <<EOF
$user
daemon off;
worker_processes 2;
pid $dir/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path $dir/tmp/body;
	proxy_temp_path $dir/tmp/proxy;
	fastcgi_temp_path $dir/tmp/fastcgi;
	uwsgi_temp_path $dir/tmp/uwsgi;
	scgi_temp_path $dir/tmp/scgi;
	sendfile on;
	server {
		listen 127.0.0.1:$port ssl;
		root $dir/html;
		ssl_certificate $dir/cert.pem;
		ssl_certificate_key $dir/key.pem;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_conf_command Options KTLS;
		location = /small { limit_rate 64k; }
	}
}
EOF
}

start_nginx() {
	port=$(free_port)
	write_config
	"$tlsulp" run --mode user -- "$nginx" -e stderr -p "$dir" -c "$dir/nginx.conf" 2>"$dir/nginx.log" &
	nginx_pid=$!
	for _ in $(seq 100); do
		kill -0 "$nginx_pid" 2>/dev/null || fail "nginx did not start"
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
		sleep 0.1
	done
	fail "nginx does not answer on port $port"
}

# The counter $1, or with "carried" and a version the bytes sent by the ULP on that connection.
ask() {
	"$tlsulp" stat --json "$nginx_pid" | "$python" -c '
import json, sys
tree = json.load(sys.stdin)["trees"][0]
if sys.argv[1] == "carried":
    lines = [c for c in tree["connections"] if c["version"] == sys.argv[2] and c["tx_home"] != "-"]
    print(max((c["tx_bytes"] for c in lines), default=0))
else:
    print(tree["counters"][sys.argv[1]])' "$@"
}

fetch() {
	curl --silent --show-error --fail --cacert "$dir/cert.pem" --tlsv"$1" --tls-max "$1" \
		--resolve "localhost:$port:127.0.0.1" \
		-o "$dir/got" "https://localhost:$port/big" \
		-o "$dir/got.small" "https://localhost:$port/small" &
	curl_pid=$!
}

wait_until_carried() {
	local best=0 now
	while kill -0 "$curl_pid" 2>/dev/null; do
		now=$(ask carried "$1") || fail "'tlsulp stat' does not answer"
		[ "$now" -le "$best" ] || best=$now
		if [ "$best" -ge "$size" ]; then
			"$tlsulp" stat "$nginx_pid" >"$dir/stat"
			break
		fi
		sleep 0.2
	done
	carried=$best
}

download() {
	local version=$1 before after
	before=$(ask TlsTxSw) || fail "'tlsulp stat' does not answer"
	fetch "$version"
	wait_until_carried "$version"
	wait "$curl_pid" || fail "curl failed over TLS $version"
	curl_pid=''
	after=$(ask TlsTxSw)
	[ "$(sha256sum <"$dir/got")" = "$sum" ] || fail "TLS $version: the checksums differ"
	cmp "$dir/got.small" "$dir/html/small" || fail "TLS $version: the second file differs"
	[ "$after" -gt "$before" ] ||
		fail "TLS $version: TlsTxSw did not grow: nginx sent its own records"
	[ "$carried" -ge "$size" ] ||
		fail "TLS $version: the ULP carried only $carried of $size bytes"
	rm "$dir/got" "$dir/got.small"
	echo "TLS $version: $mib MiB, checksum equal, $carried bytes carried by the ULP (with headers, and a part of the second file)"
}

find_nginx
make_files
start_nginx
echo "$("$nginx" -v 2>&1), unmodified, under $("$tlsulp" --version)"
download 1.2
download 1.3
echo
echo "tlsulp stat $nginx_pid, while the last connection was open:"
cat "$dir/stat"
echo
echo "DEMO PASSED: the TLS ULP carried $mib MiB from nginx's sendfile() over TLS 1.2 and TLS 1.3"
