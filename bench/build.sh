#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: bench/build.sh DIRECTORY: compiles the programs of the bench into DIRECTORY, against
# the libraries of where it runs: this machine, or Debian 13's folder (tools/debian13.sh run).
set -eu
out=$1
cd "$(dirname "$0")"
mkdir -p "$out"
# What CFLAGS the caller has is left out: contenders are measured as their users build them.
compile() {
	name=$1
	shift
	cc -std=gnu11 -O2 -Wall -Wextra -Wno-unused-parameter -o "$out/$name" "$@"
}
compile ends ends.c transport.c suites.c plain.c zerocopy.c openssl.c gnutls.c client.c server.c \
	measure.c -lssl -lcrypto -lgnutls -ldl
compile calls calls.c -ldl
compile drain drain.c -lssl -lcrypto
compile memory memory.c
