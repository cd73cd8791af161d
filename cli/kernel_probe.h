/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which parts of the TLS ULP the running kernel has, tried out on a loopback
 * connection.
 */
#ifndef TLSULP_CLI_KERNEL_PROBE_H
#define TLSULP_CLI_KERNEL_PROBE_H

#include <stdbool.h>

#define PROBE_CIPHERS 8

struct kernel_ulp {
	int error; /* 0: the ULP is there; -ENOENT: it is not; else why it could not be tried */
	bool tls12[PROBE_CIPHERS], tls13[PROBE_CIPHERS]; /* index: cipher number - 51 */
	bool key_update, zerocopy_ro, no_pad, max_payload;
};

void kernel_probe(struct kernel_ulp *k);

#endif
