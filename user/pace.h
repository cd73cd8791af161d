/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When a receiver that is quicker than its sender sleeps for every record, the sender pays for
 * waking it every time, which costs many times the record: the stream is slower than its receiver
 * would like. If it naps a little before such a wait, records gather meanwhile and nobody is woken.
 *
 * That is tried with a stream of records that come close together, and kept up as long as the
 * stream is faster by it: windows with naps, a few at first, then more, between windows without.
 * One that is not faster, because its sender has a pace of its own or waits for room, is left
 * alone, ever longer; so is a dialogue, in which this side sends, too.
 */
#ifndef TLSULP_PACE_H
#define TLSULP_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* All zero at first; under rx_lock. A dialogue looks at the first four only. */
struct pace {
	uint64_t sent; /* by this side, up to now */
	uint32_t waits; /* in the window; 0: it has not begun */
	uint32_t windows; /* which one with naps in a row this is; 0: it is without */
	uint32_t trust; /* so many with naps before the next without */
	uint32_t pause; /* so many waits without a look at how fast the stream is */
	uint32_t pause_last;
	uint32_t long_naps; /* one after the other */
	uint64_t records; /* of the key, up to the window's begin */
	int64_t since_ns; /* the window's begin */
	int64_t alone_ns, napping_ns; /* a record's time, averaged; 0: not known */
};

/*
 * A call may have to wait for a record, at @now_ns (CLOCK_MONOTONIC), after @records of this key
 * and with @sent bytes sent by this side: is it to nap first, if nothing is there? @is_worth says
 * whether naps are to be tried with @fd at all.
 */
bool pace_wait(struct pace *p, int64_t now_ns, uint64_t records, uint64_t sent,
	       bool (*is_worth)(int fd), int fd);

/* A nap took so long (the thread's timers may be coarse). */
void pace_napped(struct pace *p, int64_t took_ns);

#endif
