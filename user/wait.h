/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting as a blocking TCP socket does: SO_SNDTIMEO and SO_RCVTIMEO, EINTR,
 * SA_RESTART. Never with a lock held.
 */
#ifndef TLSULP_WAIT_H
#define TLSULP_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When a call has waited long enough; made on the first wait. */
struct deadline {
	int64_t start_ms; /* of the call, if it has waited; else 0 */
	bool known; /* at_ms */
	int64_t at_ms; /* CLOCK_MONOTONIC; -1: never */
};

#define WAIT_ENDLESS                                                                               \
	{                                                                                          \
		.known = true, .at_ms = -1                                                         \
	}

/* CLOCK_MONOTONIC. */
int64_t wait_now_ns(void);

/* The call begins to wait now, elsewhere at first. */
void wait_begin(struct deadline *d, int64_t now_ns);

/*
 * A handler ended poll(), which SA_RESTART does not change: does a socket call go on after it?
 * Never one with a timeout, of @option (signal(7)). @before: see signals.h.
 */
bool wait_restarts(int fd, int option, struct deadline *d, uint32_t before);

/*
 * A nap of some 0.2 ms (more where the thread's timers are coarser), cut short by an error and the
 * peer's close, not by bytes. True: by a handler.
 */
bool wait_nap(int fd);

/* Has the call no deadline, of @option? */
bool wait_is_endless(int fd, int option, struct deadline *d);

/* Is this call to return EAGAIN instead of waiting? */
bool wait_is_nonblocking(int fd, int flags);

/*
 * Until the socket takes bytes (or has an error to report), a handler has run after which the call
 * goes on, or some time is over: 0, to look which number the socket has and try again. -EAGAIN (the
 * deadline is over) or -EINTR, which any handler brings to a call that has @moved bytes.
 */
int wait_writable(int fd, bool moved, struct deadline *d);

/*
 * Until @want bytes are in the receive queue, or whatever else makes waiting
 * pointless (EOF, error, urgent data): 0, -EAGAIN, -EINTR, or the socket's
 * errno. Consumes nothing. With @want 1 the low-water mark decides when to wake.
 */
int wait_readable(int fd, size_t want, struct deadline *d);

/* The same for a call that has moved bytes, until the low-water mark: any handler brings -EINTR. */
int wait_more(int fd, struct deadline *d);

/* The same until an error or the peer's close: for a receive side that has stopped. */
int wait_hangup(int fd, struct deadline *d);

#endif
