/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records off the socket. The receive queue stays the truth about readiness:
 * no complete unread record is kept in our memory while the queue is empty
 * (receive.c says how, and names the one exception). All calls are made between
 * conn_enter_rx() and conn_leave_rx() and never wait.
 */
#ifndef TLSULP_RECEIVE_H
#define TLSULP_RECEIVE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "user/conn.h"
#include "user/iov.h"

/* What the queue began with when it was looked at without the lock. */
struct rx_front {
	const uint8_t *bytes;
	size_t len; /* 0: not looked at */
	uint32_t taken; /* rx->taken then: else others have taken bytes since */
};

/* One receiving call under way. */
struct rx_request {
	struct iov_cursor cursor; /* where plaintext goes; left: room */
	struct tls_rx_call call;
	struct msghdr *msg; /* the caller's, for the record type; NULL: none */
	int msg_flags; /* MSG_EOR, MSG_CTRUNC to report */
	bool one; /* no more than one record that is not empty */
	bool borrows; /* with one: text may stay where it was opened, in scratch; none is copied */
	const uint8_t *lent; /* where, until the next call; NULL: it was copied to the cursor */
	/* Does the work of receive() and hands on what it moved, if not NULL. */
	int (*take)(struct conn *c, int fd, struct rx_request *rq);
	struct rx_front front;
	size_t done;
};

/* Results besides 0 and negative errno */
enum {
	RX_ADMITTED = 1, /* inside receive.c only: this record may be returned */
	RX_OTHER_WAY, /* the same: not as a record of a run */
	RX_STOP, /* the call is complete: another type follows, or a control record was returned */
	RX_EOF,
};

/*
 * Move what is there into the request: 0 (its room is used up), RX_STOP, RX_EOF,
 * -EAGAIN (no whole record is there), or the errno of a read that returned nothing more.
 */
int receive(struct conn *c, int fd, struct rx_request *rq);

/* A socket error that came after data: the next call reports it. */
void receive_defer(struct conn *c, int err);

/* Nothing of a record is here, and nothing to report: all depends on the queue. */
bool receive_is_idle(const struct session_rx *rx);

/* The same for MSG_PEEK: nothing is consumed. *@seen: bytes found in the queue. */
int receive_peek(struct conn *c, int fd, struct rx_request *rq, size_t *seen);

/*
 * The last @n bytes of data that receive() moved of one record, at @p, could not be handed on: the
 * next call gets them. They may become hidden, so only where receive_may_hide() said yes.
 */
void receive_put_back(struct conn *c, int fd, const uint8_t *p, size_t n);

/* May a record become hidden? Not while others may sleep until the queue has something. */
bool receive_may_hide(const struct conn *c, int fd);

/*
 * Open the next record, unless one is kept, and keep it: 0 and s->rx.held_*, or
 * as receive(). With @peek an error that is reported once stays to be reported.
 */
int receive_hold(struct conn *c, int fd, bool peek);

/* @n bytes of the kept record were handed out elsewhere. */
void receive_consume(struct conn *c, int fd, size_t n);

/* Bytes still to come before the record under way is whole. */
size_t receive_missing(const struct session_rx *rx);

/*
 * Tell the kernel when to report readable (SO_RCVLOWAT): before the lock is
 * left, with @blocked if the caller found no whole record.
 */
void receive_settle(struct conn *c, int fd, bool blocked);

/* Would a read return at once? Brings SO_RCVLOWAT in line if not. */
bool receive_is_ready(struct conn *c, int fd);

/*
 * A record (or an error) that no poller of the real socket can see, because
 * nothing of it is left in the queue.
 */
bool receive_is_hidden(const struct session_rx *rx);

/* How often in this process a record or an error became hidden: 0 spares the search for them. */
extern uint32_t receive_hidden_count;

#endif
