#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh [--only PATTERN...]: the kernel's own TLS suite under tlsulp, counted
# strictly. The suite is got from Debian, built unchanged and run in a network
# namespace of its own, with every packet on lo captured and each key logged;
# wirecheck then opens all that was sent, and count.py counts. --only runs the
# tests whose names match (development: the floor does not apply).
#
# TLSULP_BUILD: the build tree (default: build). TLSULP_MODE: see tlsulp(1)
# (default here: user). TLSULP_SUITE: what fetch.sh has got, instead of getting
# it. Needs: gcc, libssl-dev, python3, tcpdump, iproute2, util-linux, procps,
# xz-utils, debian-archive-keyring; root or user namespaces.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
TLSULP_BUILD=${TLSULP_BUILD:-$here/../../build}
build=$(mkdir -p "$TLSULP_BUILD" && cd "$TLSULP_BUILD" && pwd)
work=$build/conformance
out=$work/run
python=/usr/bin/python3
limit=${TLSULP_CONFORMANCE_LIMIT:-900}
sentinel=end-of-the-conformance-run

say() {
	echo "conformance: $*" >&2
}

die() {
	say "$@"
	exit 2
}

need() {
	command -v "$1" >/dev/null || die "$1 is missing: apt install $2"
}

check_tools() {
	need gcc gcc
	need tcpdump tcpdump
	need ip iproute2
	need unshare util-linux
	[ -n "${TLSULP_SUITE:-}" ] || need xz xz-utils
	need pkill procps
	need "$python" python3
	[ -x "$build/tlsulp" ] || die "$build/tlsulp is missing: build it first (make)"
}

build_parts() {
	selftests=$suite/tools/testing/selftests
	# The suite's own warnings are not ours to see.
	gcc -O2 -g -w -isystem "$suite/include" -I "$selftests" -o "$work/tls" \
		"$selftests/net/tls.c" || die "the suite does not build: apt install libc6-dev"
	gcc -std=gnu11 -O2 -Wall -Wextra -shared -fPIC -o "$work/keylog.so" "$here/keylog.c" -ldl
	gcc -std=gnu11 -O2 -Wall -Wextra -o "$work/wirecheck" "$here/wirecheck.c" \
		"$here/capture.c" "$here/opener.c" "$here/blockmode.c" -lcrypto ||
		die "wirecheck does not build: apt install libssl-dev"
}

# Other programs' traffic on lo would only be in the way; without a namespace it is ignored.
own_network() {
	if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
		exec unshare -n "$0" --inside "$@"
	elif unshare -c -n --keep-caps true 2>/dev/null; then
		exec unshare -c -n --keep-caps "$0" --inside "$@"
	fi
	say "no network namespace can be made: using the machine's lo"
	exec "$0" --inside "$@"
}

start_capture() {
	user=
	[ "$(id -u)" = 0 ] && user="-Z root"
	# shellcheck disable=SC2086
	nice -n -10 tcpdump -i lo -n -s 262144 -B 2000000 --time-stamp-precision=nano $user \
		-w "$out/lo.pcap" 'tcp or udp port 9' 2>"$out/tcpdump.log" &
	tcpdump_pid=$!
	trap 'kill $tcpdump_pid 2>/dev/null || true' EXIT
	for _ in $(seq 100); do
		grep -q 'listening on' "$out/tcpdump.log" && return
		kill -0 "$tcpdump_pid" 2>/dev/null || break
		sleep 0.1
	done
	cat "$out/tcpdump.log" >&2
	die "lo cannot be captured: run as root, or allow user namespaces"
}

# tcpdump throws away what it has not read when it is stopped: wait for a packet sent last.
stop_capture() {
	sleep 1
	for _ in $(seq 120); do
		$python -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
			b'$sentinel', ('127.0.0.1', 9))" 2>/dev/null || true
		kill -USR2 "$tcpdump_pid" # what it has read goes to the file
		tail -c 65536 "$out/lo.pcap" | grep -aq "$sentinel" && break
		sleep 0.5
	done
	kill -INT "$tcpdump_pid"
	wait "$tcpdump_pid" || true
	trap - EXIT
	tail -c 65536 "$out/lo.pcap" | grep -aq "$sentinel" ||
		die "the capture did not catch up in a minute: run again on a quieter machine"
}

# keylog.so goes before libtlsulp.so, so that it sees the calls that the program makes.
run_suite() {
	say "running $(wc -l <"$out/names") tests (at most $limit s)"
	status=0
	# shellcheck disable=SC2016
	TLS_CONFORMANCE_KEYLOG=$out/keylog \
		setsid --wait sh -c 'echo $$ >"$0"; exec timeout -k 10 "$@"' "$out/session" "$limit" \
		"$build/tlsulp" run --mode "${TLSULP_MODE:-user}" --stat -- \
		sh -c 'LD_PRELOAD="$0:$LD_PRELOAD" exec "$@"' "$work/keylog.so" "$work/tls" "$@" \
		>"$out/tap" 2>"$out/stderr" </dev/null || status=$?
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		say "the suite was stopped after $limit s"
		# Each test has a process group of its own, which timeout does not reach.
		pkill -KILL -s "$(cat "$out/session")" || true
	fi
}

run_inside() {
	ip link set lo up 2>/dev/null || true
	start_capture
	run_suite "$@"
	stop_capture
}

judge() {
	wire=0
	"$work/wirecheck" "$out/lo.pcap" "$out/keylog" || wire=$?
	set -- --tap "$out/tap" --stderr "$out/stderr" --keylog "$out/keylog" \
		--capture-log "$out/tcpdump.log" --wire-status "$wire" --names "$out/names" \
		--expect "$here/expected-failures.txt"
	if [ -e "$out/partial" ]; then
		set -- "$@" --no-floor
	fi
	$python "$here/count.py" "$@"
}

if [ "${1:-}" = --inside ]; then
	shift
	run_inside "$@"
	judge
	exit
fi

check_tools
mkdir -p "$work"
suite=${TLSULP_SUITE:-$work/linux}
[ -n "${TLSULP_SUITE:-}" ] || "$here/fetch.sh" "$work"
build_parts
rm -rf "$out"
mkdir -p "$out"
: >"$out/keylog"
if [ "${1:-}" = --only ]; then
	shift
	[ $# -gt 0 ] || die "--only needs a pattern, for example --only 'tls.12_*.sendfile'"
	: >"$out/partial"
	$python "$here/names.py" "$work/tls" "$@" >"$out/names"
	grep -q . "$out/names" || die "no test has such a name: 'names.py $work/tls' lists them"
	set --
	while read -r name; do
		set -- "$@" -r "$name"
	done <"$out/names"
elif [ $# -gt 0 ]; then
	die "usage: run.sh [--only PATTERN...]"
else
	$python "$here/names.py" "$work/tls" >"$out/names"
fi
own_network "$@"
