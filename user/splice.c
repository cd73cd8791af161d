// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/splice.h"

#include "user/asleep.h"
#include "user/kind.h"
#include "user/linger.h"
#include "user/recv.h"
#include "user/scratch.h"
#include "user/send.h"
#include "user/tube.h"
#include "user/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

static ssize_t result(size_t done, int err)
{
	if (done || err >= 0)
		return done;
	errno = -err;
	return -1;
}

static int socket_flags(unsigned int flags)
{
	return flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0;
}

/* ---- pipe -> records ---- */

/*
 * Bytes taken from a pipe cannot be put back: they go into the open record,
 * which the session keeps, and from there out. Bytes, 0 (the pipe has ended), or negative errno.
 */
static ssize_t gather(struct conn *c, int in, size_t len)
{
	struct session_tx *tx = &c->session->tx;
	size_t room = tx->engine.max_payload - tx->engine.open_len;
	ssize_t got;

	if (!tx->open_buffer && !arena_buffer_take(c->arena, &tx->open_buffer))
		return -ENOMEM;
	got = tube_read(in, arena_buffer(c->arena, tx->open_buffer) + tx->engine.open_len,
			len < room ? len : room);
	if (got > 0)
		tx->engine.open_len += got;
	else if (!tx->engine.open_len)
		arena_buffer_give(c->arena, &tx->open_buffer, 0);
	return got;
}

/* A record of what is there. The same results. */
static ssize_t pass(struct conn *c, int in, int fd, size_t len, int *err)
{
	size_t most = c->session->tx.engine.max_payload;
	uint8_t *room = transmit_room(c);
	ssize_t got;

	if (!room)
		return -ENOMEM;
	got = tube_read(in, room, len < most ? len : most);
	if (got > 0)
		*err = transmit_filled(c, fd, got);
	return got;
}

/* What a tube holds, in records: bytes, and in *@err why no more of them. */
static size_t pass_held(struct conn *c, int in, int fd, size_t len, bool more, int *err)
{
	struct tube_hold hold;
	struct iov_cursor cursor;
	struct iov_source source;
	const uint8_t *text = tube_text(in, &len, &hold);
	struct iovec iov = { (void *)text, len };

	if (!text)
		return 0;
	iov_start(&cursor, &iov, 1, 0);
	iov_source_init(&source, &cursor);
	len = transmit(c, fd, &source.source, TRANSMIT_JOIN, more, err);
	tube_taken(&hold, len);
	return len;
}

/*
 * As much as the pipe and the socket allow. *@done grows; why it ended, or 0. *@empty: the pipe
 * had nothing (more).
 */
static int move(struct conn *c, int in, int fd, size_t len, bool more, size_t *done, bool *empty)
{
	struct session_tx *tx = &c->session->tx;
	int err = transmit_rest(c, fd);
	ssize_t got = 1;
	size_t held;

	*empty = false;
	while (!err && got > 0 && *done < len) {
		if (tx->engine.open_len >= tx->engine.max_payload) {
			err = transmit_open(c, fd, true);
			continue;
		}
		held = pass_held(c, in, fd, len - *done, more, &err);
		*done += held;
		if (held || err)
			continue;
		if (*done && tube_is_dry(in))
			got = -EAGAIN;
		else if (!more && !tx->engine.open_len)
			got = pass(c, in, fd, len - *done, &err);
		else
			got = gather(c, in, len - *done);
		if (got < 0 && got != -EAGAIN)
			return got;
		*done += got > 0 ? got : 0;
	}
	*empty = got == -EAGAIN;
	if (!err && (tx->engine.open_len >= tx->engine.max_payload || (!more && *done)))
		err = transmit_open(c, fd, true);
	return err;
}

/* One go under the lock; *@rest: ciphertext is left that the socket did not take. */
static int move_in(struct conn *c, int in, int fd, size_t len, bool more, size_t *done, bool *empty,
		   bool *rest, struct asleep *asleep)
{
	struct conn_guard g;
	int err = conn_enter_tx(c, fd, &g);

	*empty = *rest = false;
	if (err)
		return err;
	err = tls_tx_begin(&c->session->tx.engine, 0);
	if (!err)
		err = move(c, in, fd, len, more, done, empty);
	*rest = c->session->tx.rest_len != 0;
	if (err == -EAGAIN || (*empty && !*done))
		asleep_begin(asleep, c);
	conn_leave_tx(c, &g);
	return err;
}

/*
 * Like send_source(), but for the order of things: room in the socket first,
 * then bytes out of the pipe. It waits for the pipe only while it has moved nothing.
 */
ssize_t splice_to_tls(struct conn *c, int in, int fd, size_t len, unsigned int flags)
{
	int err = kind_check(in, KIND_PIPE);
	struct deadline deadline = { 0 };
	struct asleep asleep = { 0 };
	bool empty, rest = false;
	size_t done = 0;

	while (!err && len) {
		err = move_in(c, in, fd, len, flags & SPLICE_F_MORE, &done, &empty, &rest, &asleep);
		if (!err && empty && !done)
			err = tube_wait(in, POLLIN, flags & SPLICE_F_NONBLOCK);
		else if (err == -EAGAIN && !wait_is_nonblocking(fd, socket_flags(flags)))
			err = wait_writable(fd, done > 0, &deadline);
		else
			break;
		fd = asleep_number(c, fd);
	}
	if (rest)
		linger_note(c, fd);
	asleep_end(&asleep);
	if (!done && err == -EPIPE)
		raise(SIGPIPE);
	return result(done, err);
}

/* ---- records -> pipe ---- */

struct outlet {
	struct rx_request rq; /* first: its take() gets at the rest */
	int pipe;
	size_t len;
	bool pipe_full;
};

/* Into the pipe: what it takes, or why it takes nothing. */
static int pour(struct outlet *o, const uint8_t *p, size_t n)
{
	ssize_t put = tube_write(o->pipe, p, n);

	o->rq.done = put > 0 ? put : 0;
	o->pipe_full = put == -EAGAIN;
	return put > 0 || o->pipe_full ? RX_STOP : put;
}

/* Straight into a tube, with the result in *@err; false: the pipe is none. */
static bool move_held(struct conn *c, int fd, struct outlet *o, int *err)
{
	struct tube_hold hold;
	size_t len = o->len;
	uint8_t *room = tube_room(o->pipe, 0, &len, &hold);
	struct iovec iov = { room, len };

	if (!room)
		return false;
	iov_start(&o->rq.cursor, &iov, 1, 0);
	o->rq.borrows = false;
	*err = receive(c, fd, &o->rq);
	o->rq.borrows = true;
	tube_filled(&hold, o->rq.done);
	if (o->rq.done)
		*err = RX_STOP;
	return true;
}

/* Read as recv() would, or leave the text in scratch; what the pipe does not take goes back. */
static int move_read(struct conn *c, int fd, struct outlet *o)
{
	struct scratch *scratch = scratch_get();
	struct iovec iov = { scratch ? scratch_tx(scratch) : NULL, o->len };
	const uint8_t *text;
	size_t got;
	int err;

	if (!scratch)
		return -ENOMEM;
	if (move_held(c, fd, o, &err))
		return err;
	iov_start(&o->rq.cursor, &iov, 1, 0);
	err = receive(c, fd, &o->rq);
	got = o->rq.done;
	if (!got)
		return err;
	text = o->rq.lent ? o->rq.lent : scratch->tx;
	err = pour(o, text, got);
	if (o->rq.done < got)
		receive_put_back(c, fd, text + o->rq.done, got - o->rq.done);
	return err;
}

/* Open the record where it is kept, and hand out of there. */
static int move_kept(struct conn *c, int fd, struct outlet *o)
{
	struct session_rx *rx = &c->session->rx;
	int err;

	do {
		err = receive_hold(c, fd, false);
		if (err)
			return err;
		if (rx->held_type != TLSULP_DATA)
			return -EIO;
		if (!rx->held_len)
			receive_consume(c, fd, 0);
	} while (!rx->held);
	err = pour(o, arena_buffer(c->arena, rx->buffer) + rx->held_off,
		   o->len < rx->held_len ? o->len : rx->held_len);
	if (o->rq.done)
		receive_consume(c, fd, o->rq.done);
	return err;
}

static int move_out(struct conn *c, int fd, struct rx_request *rq)
{
	struct outlet *o = (struct outlet *)rq;

	return receive_may_hide(c, fd) ? move_read(c, fd, o) : move_kept(c, fd, o);
}

/* The connection stays, whoever closes its number meanwhile. */
static int wait_for_room(struct conn *c, int fd, struct asleep *asleep, int pipe, bool nonblock)
{
	struct conn_guard g;
	int err = conn_enter_rx(c, fd, &g);

	if (err)
		return err;
	asleep_begin(asleep, c);
	conn_leave_rx(c, &g);
	return tube_wait(pipe, POLLOUT, nonblock);
}

static ssize_t drain(struct conn *c, int fd, struct outlet *o, unsigned int flags,
		     struct asleep *asleep)
{
	int err;

	for (;;) {
		o->rq = (struct rx_request){
			.cursor.left = o->len, .one = true, .borrows = true, .take = move_out
		};
		o->pipe_full = false;
		err = recv_request(c, fd, &o->rq, socket_flags(flags));
		if (!o->pipe_full)
			return o->rq.done || err >= 0 ? (ssize_t)o->rq.done : err;
		err = wait_for_room(c, fd, asleep, o->pipe, flags & SPLICE_F_NONBLOCK);
		if (err)
			return err;
		fd = asleep_number(c, fd);
	}
}

ssize_t splice_from_tls(struct conn *c, int fd, int out, size_t len, unsigned int flags)
{
	struct outlet o = { .pipe = out, .len = len < TLS_PAYLOAD_MAX ? len : TLS_PAYLOAD_MAX };
	struct asleep asleep = { 0 };
	ssize_t n = kind_check(out, KIND_PIPE);

	if (!n && len)
		n = drain(c, fd, &o, flags, &asleep);
	asleep_end(&asleep);
	/* A record that is not data stays. */
	return result(n > 0 ? n : 0, n == -EIO ? -EINVAL : n);
}
