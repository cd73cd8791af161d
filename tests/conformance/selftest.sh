#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# selftest.sh: proves that run.sh cannot be fooled, and that it knows good bytes
# when it sees them. It runs a part of the suite under two things that are no
# TLS ULP: nothing at all, and a preload that says yes to everything, keeps
# plausible counters and sends plaintext. Both must come out as "0 passed".
# Then honest.py sends real records, and the wire check must open them all.
# (test_wirecheck.py does the finer cases.)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
TLSULP_BUILD=${TLSULP_BUILD:-$here/../../build}
cache=$(mkdir -p "$TLSULP_BUILD/conformance" && cd "$TLSULP_BUILD/conformance" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$here/fetch.sh" "$cache"
gcc -std=gnu11 -O2 -Wall -Wextra -shared -fPIC -o "$tmp/fake.so" "$here/fake.c" -ldl

# A build tree whose `tlsulp` is the script on standard input.
make_tree() {
	mkdir -p "$tmp/$1/conformance"
	ln -s "$cache/apt" "$cache/linux" "$tmp/$1/conformance/"
	target=$(readlink "$cache/linux")
	ln -s "$cache/$target" "$tmp/$1/conformance/$target"
	cat >"$tmp/$1/tlsulp"
	chmod +x "$tmp/$1/tlsulp"
}

expect_nothing_passed() {
	echo "== $1: must be refused"
	status=0
	TLSULP_BUILD=$tmp/$1 "$here/run.sh" --only 'tls.1[23]_*.send*' >"$tmp/$1.out" 2>&1 || status=$?
	tail -n 12 "$tmp/$1.out"
	if [ "$status" != 1 ] || ! tail -n 1 "$tmp/$1.out" | grep -q '^0 passed, [1-9]'; then
		echo "selftest: run.sh believed $1 (exit $status)" >&2
		exit 1
	fi
}

make_tree nothing <<'END'
#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
"$@"
echo "TlsTxSw 1" >&2
echo "TlsRxSw 1" >&2
END

make_tree liar <<END
#!/bin/sh
while [ "\$1" != -- ]; do shift; done
shift
export FAKE_ULP_BOOKS=$tmp/books
: >"\$FAKE_ULP_BOOKS"
LD_PRELOAD=$tmp/fake.so "\$@"
for way in Tx Rx; do
	up=\$(echo \$way | tr a-z A-Z)
	all=\$(grep -c "^\$up" "\$FAKE_ULP_BOOKS")
	first=\$(grep "^\$up" "\$FAKE_ULP_BOOKS" | sort -u | grep -c .)
	echo "Tls\${way}Sw \$first" >&2
	echo "Tls\${way}RekeyOk \$((all - first))" >&2
done
END

expect_nothing_passed nothing
expect_nothing_passed liar
grep -q '^FAIL .*this is no TLS record' "$tmp/liar.out" ||
	{ echo "selftest: the wire check did not see the plaintext" >&2; exit 1; }
grep -q 'keys were installed' "$tmp/liar.out" &&
	{ echo "selftest: the liar's counters should have agreed" >&2; exit 1; }

make_tree honest <<END
#!/bin/sh
LD_PRELOAD=$tmp/honest/conformance/keylog.so:$tmp/fake.so FAKE_ULP_BOOKS=$tmp/books \
	PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 $here/honest.py
END
echo "== honest: its records must open"
TLSULP_BUILD=$tmp/honest "$here/run.sh" --only 'tls.12_aes_gcm.sendfile' >"$tmp/honest.out" 2>&1 || true
grep wirecheck: "$tmp/honest.out" || cat "$tmp/honest.out"
if ! grep -q 'wirecheck: 24 directions with 36 keys: 2640 records opened' "$tmp/honest.out" ||
	! grep -q 'wirecheck: [1-9][0-9]* records of an old key' "$tmp/honest.out" ||
	! grep -q 'wirecheck: 0 failures' "$tmp/honest.out"; then
	echo "selftest: the wire check does not open good records" >&2
	exit 1
fi
echo "selftest: the false were refused, the honest was believed"
