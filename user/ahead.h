/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Small records that wait in the queue, many with one system call: a run of
 * whole records is peeked into the session's buffer and handed out from there.
 * Their bytes stay in the queue until the last of them is handed out, so the
 * kernel's "readable" is true as long as there is one, for every process; then
 * they are dropped at once. Whoever wants the queue itself ends the run first.
 *
 * All calls are made between conn_enter_rx() and conn_leave_rx().
 */
#ifndef TLSULP_AHEAD_H
#define TLSULP_AHEAD_H

#include "user/conn.h"

/* A record of the run, opened where it lies. */
struct ahead_record {
	const uint8_t *text;
	size_t len;
	uint8_t type;
	size_t plain_len; /* with type and padding */
	size_t wire_len;
};

static inline bool ahead_is_on(const struct session_rx *rx)
{
	return rx->ahead_len != 0;
}

/* Is it worth to look for a run? The next header is known, and nothing of its body was read. */
bool ahead_is_likely(const struct session_rx *rx);

/* Look for two whole records or more. False: there are none, and nothing has changed. */
bool ahead_begin(struct conn *c, int fd);

/* @n bytes at @p are what the queue begins with: is a whole record among them? */
bool ahead_begin_with(struct conn *c, const uint8_t *p, size_t n);

/*
 * The next record of the run, if its plaintext fits into @room. Nothing changes before
 * ahead_take(). False: it is not for this way (no room, or not authentic).
 */
bool ahead_open(struct conn *c, size_t room, struct ahead_record *r);
void ahead_take(struct conn *c, int fd, const struct ahead_record *r);

/* The queue is as if each record had been read from it. */
void ahead_end(struct conn *c, int fd);

#endif
