/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The library's side of the statistics region (stat.h). Thread-safe; never fails. */
#ifndef TLSULP_USER_STATS_H
#define TLSULP_USER_STATS_H

#include <stdint.h>

#include "engine/stats.h"
#include "user/session.h"

/* Map the region that TLSULP_STAT names, or have none but our own. From the constructor. */
void stats_init(void);

/* A forked child is a process of the tree, too. */
void stats_after_fork(void);

void stats_add(enum tls_stat stat, int64_t n);
uint64_t stats_get(enum tls_stat stat);

/* @fd got the ULP: claim a line for it. */
void stats_conn_new(struct session *s, int fd);
/* First key of a direction: counters, version and cipher. Under that direction's lock. */
void stats_key_set(struct session *s, int fd, int tx);
/* Records and plaintext bytes of one direction, under its lock. */
void stats_tx(struct session *s, uint64_t records, uint64_t bytes);
void stats_rx(struct session *s, uint64_t records, uint64_t bytes);
/* Another program's session came to this process tree, by @fd: from now on it counts here. */
void stats_conn_came(struct session *s, int fd);
/* If it went from this process tree to another meanwhile, it no more counts here. */
void stats_conn_left(struct session *s);
/* A socket got the kernel's own ULP, whose /proc/net/tls_stat counts it from now on. */
void stats_kernel_session(void);
/* The same of one that had a line here. Under both locks. */
void stats_kernel_took(struct session *s);
/* The session ends, or the process that alone holds it. Counts once. */
void stats_conn_gone(struct session *s);

#endif
