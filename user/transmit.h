/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records onto the socket: seal what the engine says, write without waiting,
 * account for what the socket took. All calls are made between conn_enter_tx()
 * and conn_leave_tx().
 */
#ifndef TLSULP_TRANSMIT_H
#define TLSULP_TRANSMIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "user/conn.h"
#include "user/iov.h"

struct scratch;

/* Where the sending side stands: the same place seals the same text to the same bytes. */
struct tx_place {
	uint64_t seq;
	uint32_t key_gen;
	uint16_t open_len, max_payload;
};

/*
 * Where plaintext comes from. fill() copies the @n bytes that lie @at bytes
 * after the first one not yet accepted: 0, negative errno, or -ENODATA if the
 * source turned out to be shorter (it then has lowered left). direct() gives a pointer to them if
 * they lie in one piece of the caller's memory, or NULL. scatter() brings, with one system call,
 * the first bytes not yet accepted to the places where fill() will be asked for them next, or less
 * of them: fill() sees to the rest. With a @count of 0 the places hold nothing any more. accept()
 * moves on by @n bytes, which were sent; left and accepted are transmit()'s to change.
 */
struct source {
	size_t left;
	int (*fill)(struct source *s, size_t at, uint8_t *dst, size_t n);
	const uint8_t *(*direct)(struct source *s, size_t at, size_t n);
	void (*scatter)(struct source *s, const struct iovec *places, size_t count);
	void (*accept)(struct source *s, size_t n);
	size_t accepted; /* of them so far: transmit() counts */
	uintptr_t origin; /* address or file offset of the first byte, as far as that is known */
	/* transmit()'s, between the goes of one call: sealed, and the socket took nothing of it. */
	const struct scratch *left_in; /* whose left it is; NULL: nothing */
	struct tx_place left_at;
};

/* The caller's vector as a source. */
struct iov_source {
	struct source source;
	struct iov_cursor cursor;
	struct iov_cursor ahead; /* of cursor, by ahead_at bytes: where the last look was */
	size_t ahead_at;
};

void iov_source_init(struct iov_source *s, const struct iov_cursor *cursor);

/* What the socket did not take of a record: 0 all out, -EAGAIN, or the socket's errno. */
int transmit_rest(struct conn *c, int fd);

/*
 * End the record that MSG_MORE left open: 0, -EAGAIN, or errno. With @keep it is
 * ended even if the socket takes nothing (all of it is rest then), else it
 * stays open.
 */
int transmit_open(struct conn *c, int fd, bool keep);

/*
 * For bytes that cannot be put back where they come from: the place for a record's plaintext
 * (TLS_TX_MAX_PAYLOAD_LEN of it), while no record is open; NULL: out of memory. What is put there
 * is sent and counts as sent, also if the socket takes nothing: as transmit_open() with @keep.
 */
uint8_t *transmit_room(struct conn *c);
int transmit_filled(struct conn *c, int fd, size_t n);

/* Instead of a record type: data that joins the open record, if there is one. */
#define TRANSMIT_JOIN 256

/*
 * Send from @s in records of @type, after ending an open one, until it is empty or the socket is
 * full; with @more the last record stays open. Returns the bytes accepted (0 is possible) and in
 * *@err why it stopped early: 0, -EAGAIN, -ENOMEM, -EFAULT, or the socket's errno. Rest may be
 * left: see transmit_rest().
 */
size_t transmit(struct conn *c, int fd, struct source *s, int type, bool more, int *err);

#endif
