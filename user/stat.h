/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The statistics region: what `tlsulp stat` shows of a process tree.
 *
 * `tlsulp run` makes a file (mode 0600) in the run directory, sizes it to
 * sizeof(struct stat_region), writes the first fields and names it in the
 * environment as TLSULP_STAT; libtlsulp maps it shared in its constructor and
 * every forked process inherits the mapping, so the counters are those of the
 * whole tree. Without TLSULP_STAT the region is anonymous memory, shared with
 * forked children only. There are counters and addresses in it, never keys.
 *
 * Counters are changed with relaxed atomic additions by any process. A
 * stat_conn is claimed by a compare-and-swap of owner from 0, and its tx_ and
 * rx_ figures are then written only under that session's tx and rx lock;
 * readers see each 64-bit word whole, but not all words of one moment.
 */
#ifndef TLSULP_STAT_H
#define TLSULP_STAT_H

#include <stdint.h>

#include "engine/stats.h"

#define STAT_MAGIC 0x54535441u /* "ATST" */
#define STAT_VERSION 2
#define STAT_CONNS 16384
#define STAT_PROCS 1024

enum stat_home { STAT_HOME_NONE, STAT_HOME_USER };

/* One process of the tree. start is field 22 of /proc/PID/stat: it tells a pid from its re-use. */
struct stat_proc {
	uint32_t pid; /* 0: free */
	uint32_t pad;
	uint64_t start;
};

/* One connection. Addresses in network order, IPv4 in the first 4 bytes. */
struct stat_conn {
	uint32_t owner; /* pid that attached it; 0: free */
	uint16_t version; /* 0x0303, 0x0304; 0 before the first key */
	uint16_t cipher; /* TLS_CIPHER_* */
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t tx_home, rx_home; /* enum stat_home */
	uint8_t pad;
	uint16_t local_port, peer_port; /* host order */
	uint8_t local_addr[16], peer_addr[16];
	uint64_t tx_records, tx_bytes; /* bytes are plaintext */
	uint64_t rx_records, rx_bytes;
};

struct stat_region {
	uint32_t magic, version;
	uint32_t root_pid; /* the program that `tlsulp run` started */
	uint32_t conns_lost; /* connections that found no free stat_conn */
	uint64_t root_start;
	uint64_t kernel_sessions; /* sockets that got the kernel's own ULP; they have no line */
	uint64_t counters[TLS_STAT_COUNT]; /* enum tls_stat */
	struct stat_proc procs[STAT_PROCS];
	struct stat_conn conns[STAT_CONNS];
};

#endif
