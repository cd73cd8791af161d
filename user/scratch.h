/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A thread's working memory, sized to stay in L2. Use it only between
 * conn_enter_*() and conn_leave_*(): signals are blocked there, so no handler
 * can use it at the same time.
 */
#ifndef TLSULP_SCRATCH_H
#define TLSULP_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/record.h"

/*
 * What one write to the socket takes at most: six full records, which TCP sends as a segment of
 * 64 KiB and one of half of that. A write whose last segment is a few bytes long (of four or
 * eight records) wakes the peer once more for them, which costs more than a record's seal
 * (docs/PERFORMANCE.md).
 */
#define SCRATCH_TX_SIZE (6 * (size_t)TLS_WIRE_MAX)
#define SCRATCH_RECORDS 48
#define SCRATCH_RX_SIZE (TLS_WIRE_MAX + 64)
#define SCRATCH_FRONT_SIZE 4096
#define SCRATCH_PEEK_SIZE (4 * (size_t)(TLS_WIRE_MAX + 64))

/*
 * What is copied in or out starts half a page off the other side, page for page: where a
 * destination is up to 31 bytes ahead of its source modulo a page, AMD's Zen 3 and later copy up
 * to thirty times slower (the kernel's rep movsb, and glibc's; sourceware bug 30994).
 */
#define SCRATCH_PAGE 4096

/* Records sealed one after the other in tx, not yet sent. */
struct batch {
	uint8_t *bytes;
	size_t len;
	uint64_t uses; /* tx_uses when it was begun */
	unsigned int count;
	uint16_t wire[SCRATCH_RECORDS]; /* length of each record */
	uint16_t fresh[SCRATCH_RECORDS]; /* bytes of it that came from the source */
};

struct scratch {
	uint8_t tx[SCRATCH_TX_SIZE + SCRATCH_PAGE];
	uint64_t tx_uses; /* how often something was put there: what a call left may be gone */
	struct batch left; /* by a call that sleeps until the socket has room */
	uint8_t rx[SCRATCH_RX_SIZE + SCRATCH_PAGE];
	uint8_t peek[SCRATCH_PEEK_SIZE];
	/* Of one receiving call, also while it sleeps: handlers then find it busy. */
	uint8_t front[SCRATCH_FRONT_SIZE];
	bool front_busy;
};

/* tx, for something new. */
static inline uint8_t *scratch_tx(struct scratch *s)
{
	s->tx_uses++;
	return s->tx;
}

/* The first place from @room on that is half a page off @other, an address or a file offset. */
static inline uint8_t *scratch_off(uint8_t *room, uintptr_t other)
{
	return room + ((other + SCRATCH_PAGE / 2 - (uintptr_t)room) & (SCRATCH_PAGE - 1));
}

/* This thread's, made on first use; NULL: out of memory. */
struct scratch *scratch_get(void);

#endif
