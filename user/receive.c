// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Three ways for a record from the queue to the caller:
 *
 *   whole   the caller's room holds any plaintext of this length: read exactly
 *           the record (and the next five header bytes), open it in scratch,
 *           copy it out. One system call a record.
 *   kept    there is less room: read all but the record's last byte, peek that
 *           one, open the record in the session's buffer. The last byte stays in
 *           the queue and says "readable" until the plaintext is used up.
 *   ahead   small records of which several are there: see ahead.h.
 *
 * The exception to the rule about readiness is a record that came the first way
 * and then may not be returned: of another type than the call's, without room
 * for its type, or into a bad pointer. It is kept without a last byte in the
 * queue: receive_is_hidden(), and readiness.c reports it. Who sleeps in the
 * kernel meanwhile would not hear of it, so with other sleepers about records
 * are read the second way only.
 */
#include "user/receive.h"

#include "user/ahead.h"
#include "user/fault.h"
#include "user/readiness.h"
#include "user/real.h"
#include "user/scratch.h"
#include "user/stats.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/syscall.h>

#define LOWAT_UNSET 0

uint32_t receive_hidden_count;

static void count_hidden(struct session_rx *rx)
{
	__atomic_add_fetch(&rx->hidden_seq, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&receive_hidden_count, 1, __ATOMIC_RELAXED);
}

static ssize_t queue_peek(int fd, void *p, size_t n)
{
	ssize_t got = sys_call(SYS_recvfrom, fd, p, n, MSG_DONTWAIT | MSG_PEEK, NULL, NULL);

	return got < 0 ? -errno : got;
}

static ssize_t queue_read(struct session_rx *rx, int fd, void *p, size_t n)
{
	ssize_t got = sys_call(SYS_recvfrom, fd, p, n, MSG_DONTWAIT, NULL, NULL);

	rx->taken++;
	return got < 0 ? -errno : got;
}

/* The same, and *@left: bytes in the queue behind them, or -1 where the kernel does not tell. */
static ssize_t queue_read_inq(struct session_rx *rx, int fd, void *p, size_t n, int *left)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { p, n };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t got = sys_call(SYS_recvmsg, fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *m = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	rx->taken++;
	*left = -1;
	if (m && m->cmsg_level == IPPROTO_TCP && m->cmsg_type == TCP_CM_INQ)
		memcpy(left, CMSG_DATA(m), sizeof(*left));
	return got < 0 ? -errno : got;
}

/* One system call into several places. */
static ssize_t queue_readv(struct session_rx *rx, int fd, struct iovec *iov, size_t count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t got = sys_call(SYS_recvmsg, fd, &msg, MSG_DONTWAIT);

	rx->taken++;
	return got < 0 ? -errno : got;
}

bool receive_is_idle(const struct session_rx *rx)
{
	return !rx->held && !rx->body_len && !rx->engine.header_len && !ahead_is_on(rx) &&
	       !rx->engine.error && !rx->engine.paused && !rx->engine.stopped && !rx->pending_error;
}

static void clear_record(struct session_rx *rx)
{
	rx->body_len = rx->body_have = 0;
}

static void free_buffer(struct conn *c)
{
	struct session_rx *rx = &c->session->rx;

	arena_buffer_give(c->arena, &rx->buffer, TLS_BODY_MAX);
}

static int need_buffer(struct conn *c)
{
	struct session_rx *rx = &c->session->rx;

	return rx->buffer || arena_buffer_take(c->arena, &rx->buffer) ? 0 : -ENOMEM;
}

static uint8_t *buffer_of(struct conn *c)
{
	return arena_buffer(c->arena, c->session->rx.buffer);
}

/* Header bytes that came along with the record before. */
static void got_header_bytes(struct session_rx *rx, const uint8_t *p, size_t n)
{
	memcpy(rx->engine.header + rx->engine.header_len, p, n);
	rx->engine.header_len += n;
}

/*
 * The header complete and its body's length known: 0, -EAGAIN, RX_EOF, or errno. *@left, if wanted:
 * bytes in the queue behind the header, or -1 if that is not known.
 */
static int need_header(struct conn *c, int fd, int *left)
{
	struct session_rx *rx = &c->session->rx;
	ssize_t got;
	int len;

	if (left)
		*left = -1;
	if (rx->body_len)
		return 0;
	while (rx->engine.header_len < TLS_HEADER_LEN) {
		uint8_t *p = rx->engine.header + rx->engine.header_len;
		size_t n = TLS_HEADER_LEN - rx->engine.header_len;

		got = left ? queue_read_inq(rx, fd, p, n, left) : queue_read(rx, fd, p, n);
		if (got <= 0)
			return got ? got : RX_EOF;
		rx->engine.header_len += got;
	}
	len = tls_rx_header(&rx->engine);
	if (len < 0) {
		tls_rx_stop(&rx->engine);
		return len;
	}
	rx->body_len = len;
	return 0;
}

/* Authentication failed, or the plaintext made no sense: no record after this one either. */
static int bad_record(struct conn *c, int err)
{
	struct session_rx *rx = &c->session->rx;

	if (err == -EBADMSG)
		stats_add(TLS_STAT_DECRYPT_ERROR, 1);
	tls_rx_fail(&rx->engine, err);
	count_hidden(rx);
	clear_record(rx);
	return err;
}

static void count_padding(const struct session_rx *rx, uint8_t type, size_t len, size_t plain_len)
{
	if (!rx->engine.no_pad || (type == TLSULP_DATA && len + 1 == plain_len))
		return;
	stats_add(TLS_STAT_DECRYPT_RETRY, 1);
	if (type == TLSULP_DATA)
		stats_add(TLS_STAT_RX_NO_PAD_VIOLATION, 1);
}

/*
 * Open the whole body at @body, in place. The plaintext is then at
 * @body + *@off, *@len bytes of *@type; the engine moves on to the next record.
 */
static int open_body(struct conn *c, uint8_t *body, size_t *off, size_t *len, uint8_t *type)
{
	struct session_rx *rx = &c->session->rx;
	struct tls_record r;
	uint8_t *text;
	int err = tls_rx_plan(&rx->engine, 0, rx->engine.header, body, rx->body_len, &r);

	if (err)
		return bad_record(c, err);
	*off = r.prefix_len - TLS_HEADER_LEN;
	text = body + *off;
	err = aead_open(c->rx_key, r.nonce, r.aad, r.aad_len, text, r.plain_len, text);
	if (!err)
		err = tls_rx_opened(&rx->engine, &r, text, type, len);
	if (err)
		return bad_record(c, err);
	count_padding(rx, *type, *len, r.plain_len);
	rx->last_len = rx->body_len;
	tls_rx_advance(&rx->engine);
	clear_record(rx);
	stats_rx(c->session, 1, *len);
	return 0;
}

/* The whole record was handed out. */
static void record_done(struct conn *c, uint8_t type, uint8_t first, size_t total)
{
	if (tls_rx_consumed(&c->session->rx.engine, type, first, total))
		stats_add(TLS_STAT_RX_REKEY_RECEIVED, 1);
}

/* ---- kept records ---- */

static void hold(struct session_rx *rx, size_t off, size_t len, uint8_t type, uint8_t first,
		 size_t total, bool tail)
{
	rx->held = true;
	rx->tail = tail;
	rx->held_type = type;
	rx->held_off = off;
	rx->held_len = len;
	rx->held_first = first;
	rx->held_total = total;
}

/* Used up: its last byte leaves the queue, and the next header comes along if it is there. */
static void release(struct conn *c, int fd)
{
	struct session_rx *rx = &c->session->rx;
	uint8_t last, header[TLS_HEADER_LEN];
	struct iovec iov[] = { { &last, 1 }, { header, sizeof(header) } };
	ssize_t got;

	record_done(c, rx->held_type, rx->held_first, rx->held_total);
	rx->held = false;
	free_buffer(c);
	if (!rx->tail)
		return;
	rx->tail = false;
	got = queue_readv(rx, fd, iov, 2);
	if (got > 1)
		got_header_bytes(rx, header, got - 1);
}

void receive_consume(struct conn *c, int fd, size_t n)
{
	struct session_rx *rx = &c->session->rx;

	rx->held_off += n;
	rx->held_len -= n;
	if (!rx->held_len)
		release(c, fd);
}

/* Read on into the buffer, up to but without the last byte: 0 when all of that is there. */
static int drain(struct conn *c, int fd)
{
	struct session_rx *rx = &c->session->rx;
	size_t upto = rx->body_len - 1;
	ssize_t got;

	while (rx->body_have < upto) {
		got = queue_read(rx, fd, buffer_of(c) + rx->body_have, upto - rx->body_have);
		if (got <= 0)
			return got ? got : RX_EOF;
		rx->body_have += got;
	}
	return 0;
}

/*
 * EOF or an error in the queue: a read returns at once, whole record or not. libc's
 * poll() would be a cancellation point, under the lock.
 */
static bool at_end(int fd)
{
	struct pollfd p = { fd, POLLRDHUP, 0 };
	struct timespec now = { 0, 0 };

	return sys_call(SYS_ppoll, &p, 1, &now, NULL, 0) > 0;
}

/*
 * May a record be read? What there is to report instead comes first; an error
 * of the socket is reported once. The key schedule is had before a byte is
 * consumed.
 */
static int gate(struct conn *c, int fd, bool peek)
{
	struct session_rx *rx = &c->session->rx;
	int err = tls_rx_ready(&rx->engine);

	if (err)
		return err;
	err = rx->pending_error;
	if (err && !peek)
		rx->pending_error = 0;
	if (err)
		return err;
	if (rx->engine.stopped)
		return at_end(fd) ? RX_EOF : -EAGAIN;
	return conn_rx_key(c);
}

/* Open the next record and keep it. */
static int hold_next(struct conn *c, int fd)
{
	struct session_rx *rx = &c->session->rx;
	size_t off, len;
	ssize_t got;
	uint8_t type;
	int err = need_header(c, fd, NULL);

	if (!err)
		err = need_buffer(c);
	if (!err)
		err = drain(c, fd);
	if (err)
		return err;
	got = queue_peek(fd, buffer_of(c) + rx->body_len - 1, 1);
	if (got <= 0)
		return got ? got : RX_EOF;
	err = open_body(c, buffer_of(c), &off, &len, &type);
	if (err) {
		free_buffer(c);
		return err;
	}
	hold(rx, off, len, type, len ? buffer_of(c)[off] : 0, len, true);
	return 0;
}

int receive_hold(struct conn *c, int fd, bool peek)
{
	int err;

	if (c->session->rx.held)
		return 0;
	if (ahead_is_on(&c->session->rx))
		ahead_end(c, fd);
	err = gate(c, fd, peek);
	return err ? err : hold_next(c, fd);
}

/* ---- what the call may return ---- */

/* The record type goes to the caller. False: there was no room for it, or a bad pointer. */
static bool put_type(struct rx_request *rq, uint8_t type)
{
	union {
		char bytes[CMSG_SPACE(1)];
		struct cmsghdr align;
	} control = { { 0 } };
	struct cmsghdr *m = &control.align;
	size_t room = rq->msg->msg_controllen;

	m->cmsg_level = SOL_TLS;
	m->cmsg_type = TLSULP_GET_RECORD_TYPE;
	m->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(m) = type;
	room = room < sizeof(control) ? room : sizeof(control);
	if (fault_copy(rq->msg->msg_control, &control, room))
		return false;
	rq->msg->msg_controllen = room;
	return true;
}

/* May this call return a record of @type? RX_ADMITTED, RX_STOP or -EIO. */
static int admit(struct rx_request *rq, uint8_t type)
{
	bool first;
	int ok = tls_rx_admit(&rq->call, type, &first);

	if (ok <= 0)
		return ok ? ok : RX_STOP;
	if (!first || !rq->msg)
		return RX_ADMITTED;
	if (rq->call.has_control && put_type(rq, type))
		return RX_ADMITTED;
	rq->msg_flags |= MSG_CTRUNC;
	if (type == TLSULP_DATA)
		return RX_ADMITTED;
	rq->call.type = 0;
	return -EIO;
}

/* After a record was returned whole: on, or stop because it was not data. */
static int after_record(struct rx_request *rq)
{
	rq->msg_flags |= MSG_EOR;
	return rq->call.type == TLSULP_DATA && !(rq->one && rq->done) ? 0 : RX_STOP;
}

static int give_held(struct conn *c, int fd, struct rx_request *rq)
{
	struct session_rx *rx = &c->session->rx;
	size_t n = rx->held_len < rq->cursor.left ? rx->held_len : rq->cursor.left;
	ssize_t put;
	int ok = admit(rq, rx->held_type);

	if (ok != RX_ADMITTED)
		return ok;
	put = n ? iov_write(&rq->cursor, buffer_of(c) + rx->held_off, n) : 0;
	if (put < 0)
		return put;
	rq->done += put;
	if ((size_t)put < rx->held_len) {
		rx->held_off += put;
		rx->held_len -= put;
		return (size_t)put < n ? -EFAULT : rq->call.type == TLSULP_DATA ? 0 : RX_STOP;
	}
	receive_consume(c, fd, put);
	return after_record(rq);
}

/* Plaintext in scratch that the call did not take (all) of: keep it, without a last byte. */
static int keep_hidden(struct conn *c, const uint8_t *text, size_t given, size_t len, uint8_t type)
{
	struct session_rx *rx = &c->session->rx;

	count_hidden(rx);
	if (!rx->buffer)
		arena_buffer_take_own(c->arena, &rx->buffer);
	memmove(buffer_of(c), text + given, len - given);
	hold(rx, 0, len - given, type, len ? text[0] : 0, len, false);
	return 0;
}

/* As iov_write(). Text in the session's buffer goes with the buffer. */
static ssize_t give_text(struct conn *c, struct rx_request *rq, const uint8_t *text, size_t len)
{
	if (!rq->borrows || c->session->rx.buffer)
		return iov_write(&rq->cursor, text, len);
	iov_advance(&rq->cursor, len);
	rq->lent = text;
	return len;
}

static int give_whole(struct conn *c, struct rx_request *rq, const uint8_t *text, size_t len,
		      uint8_t type)
{
	ssize_t put = 0;
	int ok = admit(rq, type);

	if (ok != RX_ADMITTED) {
		keep_hidden(c, text, 0, len, type);
		return ok;
	}
	if (len)
		put = give_text(c, rq, text, len);
	if (put > 0)
		rq->done += put;
	if (put < (ssize_t)len) {
		keep_hidden(c, text, put > 0 ? put : 0, len, type);
		return -EFAULT;
	}
	record_done(c, type, len ? text[0] : 0, len);
	free_buffer(c);
	return after_record(rq);
}

/* A part of the record came: it is kept until the rest does. */
static int keep_part(struct conn *c, int fd, const uint8_t *body, size_t got)
{
	struct session_rx *rx = &c->session->rx;

	if (!rx->buffer)
		arena_buffer_take_own(c->arena, &rx->buffer);
	if (!rx->body_have)
		memcpy(buffer_of(c), body, got);
	rx->body_have += got;
	return drain(c, fd); /* the queue says what comes: more later, or the end */
}

/* @got bytes of the body have come to @body, and of the header after it what is beyond. */
static int take_whole(struct conn *c, int fd, struct rx_request *rq, uint8_t *body, size_t got,
		      const uint8_t *header)
{
	struct session_rx *rx = &c->session->rx;
	size_t off, len, want = rx->body_len - rx->body_have;
	uint8_t type;
	int err;

	if (got < want)
		return keep_part(c, fd, body, got);
	err = open_body(c, body, &off, &len, &type);
	if (err) {
		free_buffer(c);
		return err;
	}
	got_header_bytes(rx, header, got - want);
	return give_whole(c, rq, body + off, len, type);
}

/* Where in scratch a body is opened whose plaintext then goes to the caller, or into a pipe. */
static uint8_t *opening_room(struct scratch *scratch, const struct rx_request *rq)
{
	return scratch_off(scratch->rx, rq->borrows ? 0 : rq->cursor.start + rq->done);
}

/* The whole record at once, behind its header. */
static int read_whole(struct conn *c, int fd, struct rx_request *rq)
{
	struct session_rx *rx = &c->session->rx;
	struct scratch *scratch = scratch_get();
	uint8_t *body, header[TLS_HEADER_LEN];
	struct iovec iov[2];
	ssize_t got;

	if (!scratch)
		return -ENOMEM;
	body = rx->body_have ? buffer_of(c) : opening_room(scratch, rq);
	iov[0] = (struct iovec){ body + rx->body_have, rx->body_len - rx->body_have };
	iov[1] = (struct iovec){ header, sizeof(header) };
	got = queue_readv(rx, fd, iov, 2);
	if (got <= 0)
		return got ? got : RX_EOF;
	return take_whole(c, fd, rq, body, got, header);
}

/* Also its header, which was seen in the queue and says that it has @body_len bytes more. */
static int read_seen(struct conn *c, int fd, struct rx_request *rq, size_t body_len)
{
	struct session_rx *rx = &c->session->rx;
	struct scratch *scratch = scratch_get();
	uint8_t *body, header[TLS_HEADER_LEN];
	struct iovec iov[3];
	ssize_t got;

	if (!scratch)
		return -ENOMEM;
	body = opening_room(scratch, rq);
	iov[0] = (struct iovec){ rx->engine.header, TLS_HEADER_LEN };
	iov[1] = (struct iovec){ body, body_len };
	iov[2] = (struct iovec){ header, sizeof(header) };
	got = queue_readv(rx, fd, iov, 3);
	if (got <= 0)
		return got ? got : RX_EOF;
	if (got < TLS_HEADER_LEN) {
		rx->engine.header_len = got;
		return -EAGAIN;
	}
	rx->engine.header_len = TLS_HEADER_LEN;
	rx->body_len = body_len;
	return take_whole(c, fd, rq, body, got - TLS_HEADER_LEN, header);
}

bool receive_may_hide(const struct conn *c, int fd)
{
	const struct session *s = c->session;

	return !__atomic_load_n(&s->rx.waiters, __ATOMIC_RELAXED) && !session_is_shared(s) &&
	       !readiness_is_watched(fd);
}

void receive_put_back(struct conn *c, int fd, const uint8_t *p, size_t n)
{
	struct session_rx *rx = &c->session->rx;

	if (rx->held) {
		rx->held_off -= n;
		rx->held_len += n;
		return;
	}
	if (ahead_is_on(rx))
		ahead_end(c, fd);
	keep_hidden(c, p, 0, n, TLSULP_DATA);
}

/* The next record of the run: as next_record(), or RX_OTHER_WAY, and the run has ended. */
static int give_ahead(struct conn *c, int fd, struct rx_request *rq)
{
	struct session_rx *rx = &c->session->rx;
	struct tls_rx_call call = rq->call;
	struct iov_cursor cursor = rq->cursor;
	struct ahead_record r;

	/* A type that this call may not return, or a bad pointer, is the other ways' to tell. */
	if (!ahead_open(c, rq->cursor.left, &r) || r.type != TLSULP_DATA ||
	    (call.type && call.type != TLSULP_DATA) || admit(rq, r.type) != RX_ADMITTED ||
	    (r.len && iov_write(&rq->cursor, r.text, r.len) != (ssize_t)r.len)) {
		rq->call = call;
		rq->cursor = cursor;
		ahead_end(c, fd);
		return RX_OTHER_WAY;
	}
	rq->done += r.len;
	count_padding(rx, r.type, r.len, r.plain_len);
	stats_rx(c->session, 1, r.len);
	ahead_take(c, fd, &r);
	return after_record(rq);
}

/*
 * What was seen of the queue before is good for once: whole records, which become a run, or the
 * header of one, whose body's length is returned if it may be read in one go. Else 0.
 */
static size_t use_front(struct conn *c, int fd, struct rx_request *rq)
{
	struct session_rx *rx = &c->session->rx;
	size_t len = rq->front.len;
	int body_len;

	rq->front.len = 0;
	if (!len || rq->front.taken != rx->taken || !receive_is_idle(rx) ||
	    ahead_begin_with(c, rq->front.bytes, len) || len < TLS_HEADER_LEN)
		return 0;
	body_len = tls_record_header(&rx->engine.keys, rq->front.bytes);
	if (body_len < 0 || rq->cursor.left < tls_record_plain_max(&rx->engine.keys, body_len) ||
	    !receive_may_hide(c, fd))
		return 0;
	return body_len;
}

static int next_record(struct conn *c, int fd, struct rx_request *rq)
{
	struct session_rx *rx = &c->session->rx;
	size_t seen;
	int err;

	if (rx->held)
		return give_held(c, fd, rq);
	err = gate(c, fd, false);
	if (err)
		return err;
	seen = use_front(c, fd, rq);
	if (seen)
		return read_seen(c, fd, rq, seen);
	if (!ahead_is_on(rx))
		err = need_header(c, fd, NULL);
	if (err)
		return err;
	if (ahead_is_on(rx) || (ahead_is_likely(rx) && ahead_begin(c, fd))) {
		err = give_ahead(c, fd, rq);
		if (err == RX_OTHER_WAY)
			err = need_header(c, fd, NULL);
		else
			return err;
	}
	if (err)
		return err;
	if (rq->cursor.left >= tls_record_plain_max(&rx->engine.keys, rx->body_len) &&
	    receive_may_hide(c, fd))
		return read_whole(c, fd, rq);
	err = hold_next(c, fd);
	return err ? err : give_held(c, fd, rq);
}

void receive_defer(struct conn *c, int err)
{
	c->session->rx.pending_error = err;
	count_hidden(&c->session->rx);
}

/* An error that comes after data belongs to the next call. */
static int defer_error(struct conn *c, struct rx_request *rq, int err)
{
	const struct session_rx *rx = &c->session->rx;

	if (err >= 0 || !rq->done || err == -EAGAIN || rx->engine.error || rx->engine.paused)
		return err;
	if (err != -EFAULT && err != -EIO)
		receive_defer(c, err);
	return RX_STOP;
}

int receive(struct conn *c, int fd, struct rx_request *rq)
{
	int err = 0;

	while (!err && rq->cursor.left)
		err = next_record(c, fd, rq);
	return defer_error(c, rq, err);
}

/* ---- MSG_PEEK ---- */

/*
 * Records behind the kept one, opened where they are peeked. @p begins with the
 * header bytes that are known already.
 */
static int peek_on(struct conn *c, struct rx_request *rq, uint8_t *p, size_t have)
{
	struct session_rx *rx = &c->session->rx;

	for (uint64_t ahead = 0; rq->cursor.left && have >= TLS_HEADER_LEN; ahead++) {
		int body_len = tls_record_header(&rx->engine.keys, p);
		struct tls_record r;
		uint8_t *text, type;
		size_t len;
		int ok;

		if (body_len < 0 || have < TLS_HEADER_LEN + (size_t)body_len)
			break;
		if (tls_rx_plan(&rx->engine, ahead, p, p + TLS_HEADER_LEN, body_len, &r))
			break;
		text = p + r.prefix_len;
		if (aead_open(c->rx_key, r.nonce, r.aad, r.aad_len, text, r.plain_len, text) ||
		    tls_rx_opened(&rx->engine, &r, text, &type, &len))
			break; /* the read that comes to it will say so */
		ok = admit(rq, type);
		if (ok != RX_ADMITTED)
			return RX_STOP;
		len = len < rq->cursor.left ? len : rq->cursor.left;
		if (len && iov_write(&rq->cursor, text, len) != (ssize_t)len)
			return -EFAULT;
		rq->done += len;
		p += r.wire_len;
		have -= r.wire_len;
	}
	return rq->cursor.left ? -EAGAIN : 0;
}

static int peek_held(struct conn *c, struct rx_request *rq)
{
	struct session_rx *rx = &c->session->rx;
	size_t n = rx->held_len < rq->cursor.left ? rx->held_len : rq->cursor.left;
	int ok = admit(rq, rx->held_type);

	if (ok != RX_ADMITTED)
		return ok;
	if (n && iov_write(&rq->cursor, buffer_of(c) + rx->held_off, n) != (ssize_t)n)
		return -EFAULT;
	rq->done += n;
	return rq->call.type == TLSULP_DATA ? 0 : RX_STOP;
}

/* The stream has ended, and the @seen bytes in the queue are all that is left of it. */
static bool is_all(int fd, size_t seen)
{
	int queued = 0;

	return at_end(fd) && !real.ioctl(fd, FIONREAD, &queued) && (size_t)queued == seen;
}

/* What the queue has behind the kept record. */
static int peek_queue(struct conn *c, int fd, struct rx_request *rq, size_t *seen)
{
	struct session_rx *rx = &c->session->rx;
	struct scratch *scratch = scratch_get();
	size_t known = rx->engine.header_len;
	/* With its last byte in the queue the record before has hidden the next header. */
	ssize_t got = queue_peek(fd, scratch->peek + known, SCRATCH_PEEK_SIZE - known);
	int err;

	*seen = got > 0 ? got : 0;
	if (got <= rx->tail)
		return -EAGAIN;
	memcpy(scratch->peek + rx->tail, rx->engine.header, known);
	if (conn_rx_key(c))
		return -ENOMEM;
	err = peek_on(c, rq, scratch->peek + rx->tail, known + got - rx->tail);
	/* No more can be seen at once: this is all that a peek gives, whatever it waits for. */
	return err == -EAGAIN && got + known >= SCRATCH_PEEK_SIZE ? RX_STOP : err;
}

int receive_peek(struct conn *c, int fd, struct rx_request *rq, size_t *seen)
{
	int err;

	*seen = 0;
	if (!scratch_get())
		return -ENOMEM;
	err = receive_hold(c, fd, true);
	if (err)
		return err;
	err = peek_held(c, rq);
	if (err || !rq->cursor.left || c->session->rx.engine.paused)
		return err;
	err = peek_queue(c, fd, rq, seen);
	return err == -EAGAIN && is_all(fd, *seen) ? RX_STOP : err;
}

/* ---- readiness ---- */

size_t receive_missing(const struct session_rx *rx)
{
	if (rx->held || ahead_is_on(rx))
		return 1;
	if (rx->body_len)
		return rx->body_len - rx->body_have;
	return TLS_HEADER_LEN - rx->engine.header_len;
}

/*
 * The least that can make a whole record. Where nothing of one is there it is one byte:
 * who sleeps in a read until then also hears of a record that another has kept.
 */
static size_t least_readable(const struct session_rx *rx)
{
	size_t missing = receive_missing(rx);

	if (receive_is_idle(rx))
		return 1;
	if (!rx->held && !rx->body_len && !ahead_is_on(rx))
		missing += tls_record_body_min(&rx->engine.keys);
	if (rx->rcvbuf && missing > rx->rcvbuf / 2)
		missing = rx->rcvbuf / 2;
	return missing ? missing : 1;
}

static void set_lowat(struct session_rx *rx, int fd, uint32_t lowat)
{
	int value = lowat;

	if (rx->lowat_now == lowat || (rx->lowat_now == LOWAT_UNSET && lowat == 1))
		return;
	if (!real.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)))
		rx->lowat_now = lowat;
}

void receive_settle(struct conn *c, int fd, bool blocked)
{
	struct session_rx *rx = &c->session->rx;
	size_t least = rx->engine.error || rx->engine.stopped ? 1 : least_readable(rx);

	/*
	 * The kernel takes the mark once, when a sleep begins, and anew after a handler: who is
	 * asleep would wait for all of this record, though the next one may be smaller.
	 */
	if (__atomic_load_n(&rx->waiters, __ATOMIC_RELAXED))
		least = 1;
	if (blocked || rx->lowat_now > least)
		set_lowat(rx, fd, least);
}

bool receive_is_hidden(const struct session_rx *rx)
{
	return (rx->held && !rx->tail) || rx->engine.error || rx->pending_error;
}

/* TCP_INQ spares an ioctl(FIONREAD), which takes the socket's lock once more, a look. */
static void switch_inq_on(struct session_rx *rx, int fd)
{
	static bool unknown; /* before Linux 4.18 */
	socklen_t len = sizeof(rx->inq_program);
	int one = 1;

	if (rx->inq || __atomic_load_n(&unknown, __ATOMIC_RELAXED))
		return;
	if (real.getsockopt(fd, IPPROTO_TCP, TCP_INQ, &rx->inq_program, &len))
		__atomic_store_n(&unknown, errno == ENOPROTOOPT, __ATOMIC_RELAXED);
	else
		rx->inq = !real.setsockopt(fd, IPPROTO_TCP, TCP_INQ, &one, sizeof(one));
}

bool receive_is_ready(struct conn *c, int fd)
{
	struct session_rx *rx = &c->session->rx;
	int queued, err;

	if (rx->held || ahead_is_on(rx) || receive_is_hidden(rx))
		return true;
	if (rx->engine.paused)
		return at_end(fd);
	if (rx->engine.stopped)
		return at_end(fd);
	switch_inq_on(rx, fd);
	err = need_header(c, fd, &queued);
	if (err && err != -EAGAIN) {
		if (err < 0)
			receive_defer(c, err);
		return true;
	}
	if (!err && (queued >= 0 || !real.ioctl(fd, FIONREAD, &queued)) &&
	    (size_t)queued >= receive_missing(rx)) {
		receive_settle(c, fd, false); /* the header left the queue: the mark counted it */
		return true;
	}
	if (at_end(fd))
		return true;
	/*
	 * The kernel says readable though the mark asks for all that is missing: more
	 * is there than the mark could ask for, or urgent data is in the way.
	 */
	if (!err && rx->lowat_now >= least_readable(rx) && !need_buffer(c))
		drain(c, fd);
	receive_settle(c, fd, true);
	return false;
}
