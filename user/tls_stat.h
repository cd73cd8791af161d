/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's own counters, /proc/net/tls_stat: their names tell what its ULP can do. */
#ifndef TLSULP_TLS_STAT_H
#define TLSULP_TLS_STAT_H

#include <stdbool.h>

/*
 * Can the running kernel's ULP update keys (Linux 6.14 and what was back-ported)?
 * Asked anew on each call; false also where the file cannot be read.
 */
bool tls_stat_has_key_update(void);

#endif
