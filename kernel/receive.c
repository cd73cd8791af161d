// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A record stays in TCP's receive queue until it is whole, and until its opening
 * has succeeded. Where it goes:
 *
 *   straight  into the caller's pages, where its text fits: that costs no copy. If
 *             the tag is wrong they are wiped
 *   held      into pages of our own, from which it is handed out, piece by piece
 *             if need be
 *
 * TLS 1.3 hides the type behind the text, and padding behind the type. A record is
 * taken for data without padding then; if it is not, it goes the other way, for it
 * is still in the queue, and so do the next ones, so that a peer cannot make us open
 * each twice.
 */
#include "kernel/room.h"

#define STRAIGHT_MIN 2048 /* a shorter text is copied: that costs less than to get the pages */
#define DETOURS 64
#define RETRY (HZ / 50) /* memory was short: nothing will come to tell when it is not */

static size_t available(const struct ktls *k)
{
	return k->rx.part_len + queue_len(k->sk);
}

/* @len bytes of the next record: its begin may have left the queue already. */
static int read_record(struct ktls *k, size_t off, void *buffer, size_t len)
{
	size_t part = k->rx.part_len;
	u8 *to = buffer;

	if (off + len <= part) {
		pages_read(&k->rx.part, off, to, len);
		return 0;
	}
	if (off >= part)
		return queue_read(k->sk, off - part, to, len);
	pages_read(&k->rx.part, off, to, part - off);
	return queue_read(k->sk, 0, to + part - off, off + len - part);
}

/* The header's length known: 0, -EAGAIN, or what is wrong with it. */
static int need_header(struct ktls *k)
{
	struct ktls_rx *rx = &k->rx;
	int len;

	if (rx->wire_len)
		return 0;
	if (available(k) < TLS_HEADER_LEN)
		return -EAGAIN;
	len = read_record(k, 0, rx->engine.header, TLS_HEADER_LEN);
	if (!len)
		len = tls_rx_header(&rx->engine);
	if (len < 0)
		return len;
	rx->wire_len = TLS_HEADER_LEN + len;
	return 0;
}

/* The whole record is there: 0, -EAGAIN, or the header's errno, now reported. */
static int need_record(struct ktls *k)
{
	struct ktls_rx *rx = &k->rx;
	int err = need_header(k);

	if (err && err != -EAGAIN) {
		tls_rx_stop(&rx->engine);
		rx->pending_error = err;
	}
	if (err)
		return err;
	return available(k) < rx->wire_len ? -EAGAIN : 0;
}

/* ---- memory ---- */

/*
 * What waits in the context is at most a record, and the socket's; but it takes no room
 * from a receive buffer that may be smaller. What left the queue a moment ago has given
 * back more than this.
 */
static void charge(struct ktls *k, int n)
{
	struct sock *sk = k->sk;

	if (sk->sk_forward_alloc < n && !__sk_mem_schedule(sk, n, SK_MEM_RECV))
		return;
	sk_mem_charge(sk, n);
	k->rx.charged += n;
}

static void uncharge(struct ktls *k)
{
	if (!k->rx.charged)
		return;
	sk_mem_uncharge(k->sk, k->rx.charged);
	k->rx.charged = 0;
}

struct draining {
	struct sock *sk;
	size_t off;
};

static int drain_piece(void *arg, struct page *page, size_t off, size_t len)
{
	struct draining *d = arg;
	int err = queue_read(d->sk, d->off, page_address(page) + off, len);

	d->off += len;
	return err;
}

/* TCP tells of no end of a record that is shorter than SO_RCVLOWAT. */
static void lowat_hide(struct ktls *k)
{
	if (k->rx.lowat)
		return;
	k->rx.lowat = k->sk->sk_rcvlowat;
	WRITE_ONCE(k->sk->sk_rcvlowat, 1);
}

static void lowat_show(struct ktls *k)
{
	if (!k->rx.lowat)
		return;
	WRITE_ONCE(k->sk->sk_rcvlowat, k->rx.lowat);
	k->rx.lowat = 0;
}

int receive_set_lowat(struct ktls *k, int lowat)
{
	bool hidden = k->rx.lowat;
	int err;

	lowat_show(k);
	err = k->ops->set_rcvlowat(k->sk, lowat);
	if (hidden)
		lowat_hide(k);
	return err;
}

int receive_lowat(const struct ktls *k)
{
	return k->rx.lowat ? k->rx.lowat : k->sk->sk_rcvlowat;
}

/* What there is of the next record leaves the queue: 0 or negative errno. */
static int drain(struct ktls *k)
{
	struct ktls_rx *rx = &k->rx;
	struct draining draining = { k->sk, 0 };
	size_t n = queue_len(k->sk);
	int err;

	if (!rx->part.len) {
		err = pages_grow(&rx->part, k->sk, sk_page_frag(k->sk), rx->wire_len);
		if (err)
			return err;
		charge(k, rx->wire_len);
	}
	err = pages_each(&rx->part, rx->part_len, n, drain_piece, &draining);
	if (err)
		return err;
	rx->part_len += n;
	queue_drop(k->sk, n);
	lowat_hide(k);
	return 0;
}

/* ---- opening ---- */

/* Authentication failed, or the plaintext made no sense: no record after this one either. */
static int bad_record(struct ktls *k, int err)
{
	if (err == -EBADMSG)
		stats_add(k->sk, TLS_STAT_DECRYPT_ERROR, 1);
	tls_rx_fail(&k->rx.engine, err);
	lowat_show(k);
	return err;
}

static int map_from(struct ktls *k, size_t off, size_t len)
{
	size_t part = k->rx.part_len, in_part = off < part ? min(len, part - off) : 0;
	int err = pages_each(&k->rx.part, off, in_part, aead_from, k->rx.aead);

	if (err)
		return err;
	return queue_map(k->sk, off + in_part - part, len - in_part, k->rx.aead);
}

/* In so many small buffers, or in such pages, that the record has to be copied first. */
static int open_scattered(struct ktls *k, const struct tls_record *r, size_t off, size_t len,
			  struct pages *text)
{
	struct pages copy = { .n = 0 };
	int err = pages_grow(&copy, k->sk, sk_page_frag(k->sk), len);
	size_t at = 0;

	for (unsigned int i = 0; !err && i < copy.n; at += copy.v[i++].bv_len)
		err = read_record(k, off + at, pages_address(&copy.v[i]), copy.v[i].bv_len);
	aead_begin(k->rx.aead, r);
	if (!err)
		err = pages_each(&copy, 0, len, aead_from, k->rx.aead);
	if (!err)
		err = pages_each(text, 0, text->len, aead_to, k->rx.aead);
	if (!err)
		err = aead_open(k->rx.aead, len);
	pages_free(&copy);
	return err;
}

/* The record at @off as @r says; @text has the room for it. */
static int open_into(struct ktls *k, const struct tls_record *r, size_t off, struct pages *text)
{
	size_t len = r->plain_len + TLS_TAG_LEN;
	int err;

	off += r->prefix_len;
	aead_begin(k->rx.aead, r);
	err = map_from(k, off, len);
	if (err == -EMSGSIZE)
		return open_scattered(k, r, off, len, text);
	if (!err)
		err = pages_each(text, 0, text->len, aead_to, k->rx.aead);
	return err ? err : aead_open(k->rx.aead, len);
}

static int plan(struct ktls *k, size_t off, u64 ahead, const u8 *header, size_t body_len,
		struct tls_record *r)
{
	u8 body[8] = { 0 };
	int err = read_record(k, off + TLS_HEADER_LEN, body, min(sizeof(body), body_len));

	return err ? err : tls_rx_plan(&k->rx.engine, ahead, header, body, body_len, r);
}

/* Type and length of the opened text, whose padding may go over several pieces. */
static int inner(struct ktls *k, const struct tls_record *r, struct pages *text, u8 *type)
{
	struct tls_record piece = *r;
	size_t len = 0, before = text->len;
	const u8 *p = NULL;
	int err, i = text->n;

	do {
		piece.plain_len = 0;
		if (--i >= 0) {
			p = pages_address(&text->v[i]);
			piece.plain_len = text->v[i].bv_len;
			before -= piece.plain_len;
		}
		err = tls_rx_opened(&k->rx.engine, &piece, p, type, &len);
	} while (err == -EBADMSG && i > 0);
	len += before;
	if (!err && len > TLS_PAYLOAD_MAX)
		err = -EMSGSIZE;
	if (!err)
		pages_cut(text, len);
	return err;
}

static void count_padding(struct ktls *k, u8 type, size_t len, size_t plain_len)
{
	if (!k->rx.engine.no_pad || (type == TLSULP_DATA && len + 1 == plain_len))
		return;
	stats_add(k->sk, TLS_STAT_DECRYPT_RETRY, 1);
	if (type == TLSULP_DATA)
		stats_add(k->sk, TLS_STAT_RX_NO_PAD_VIOLATION, 1);
}

/*
 * Open the whole record at @off, @ahead records after the next one, into @text,
 * which is empty. A record that does not open: -EBADMSG or -EMSGSIZE.
 */
static int open_record(struct ktls *k, size_t off, u64 ahead, const u8 *header, size_t body_len,
		       struct pages *text, u8 *type)
{
	struct tls_record r;
	int err = plan(k, off, ahead, header, body_len, &r);

	if (!err)
		err = pages_grow(text, k->sk, sk_page_frag(k->sk), r.plain_len);
	if (!err)
		err = open_into(k, &r, off, text);
	if (!err)
		err = inner(k, &r, text, type);
	if (err) {
		pages_free(text);
		return err;
	}
	if (!ahead)
		count_padding(k, *type, text->len, r.plain_len);
	return 0;
}

/* The next record was opened: it leaves the queue. */
static void advance(struct ktls *k)
{
	struct ktls_rx *rx = &k->rx;

	queue_drop(k->sk, rx->wire_len - rx->part_len);
	pages_free(&rx->part);
	rx->part_len = 0;
	lowat_show(k);
	uncharge(k);
	rx->wire_len = 0;
	tls_rx_advance(&rx->engine);
}

/* The whole record was handed out. */
static void record_done(struct ktls *k, u8 type, u8 first, size_t total)
{
	if (tls_rx_consumed(&k->rx.engine, type, first, total))
		stats_add(k->sk, TLS_STAT_RX_REKEY_RECEIVED, 1);
}

/* ---- the held record ---- */

static int hold_next(struct ktls *k)
{
	struct ktls_rx *rx = &k->rx;
	int err = need_record(k);

	if (err)
		return err;
	err = open_record(k, 0, 0, rx->engine.header, rx->wire_len - TLS_HEADER_LEN, &rx->held,
			  &rx->held_type);
	if (err == -EBADMSG || err == -EMSGSIZE)
		return bad_record(k, err);
	if (err)
		return err;
	advance(k);
	if (rx->detours)
		rx->detours--;
	rx->is_held = true;
	rx->held_off = 0;
	rx->held_len = rx->held_total = rx->held.len;
	charge(k, rx->held_len);
	if (rx->held_len)
		pages_read(&rx->held, 0, &rx->held_first, 1);
	return 0;
}

void receive_consume(struct ktls *k, size_t n)
{
	struct ktls_rx *rx = &k->rx;

	rx->held_off += n;
	rx->held_len -= n;
	if (rx->held_len)
		return;
	rx->is_held = false;
	pages_free(&rx->held);
	uncharge(k);
	record_done(k, rx->held_type, rx->held_total ? rx->held_first : 0, rx->held_total);
}

/*
 * May a record be read? What there is to report instead comes first; an error
 * of the stream is reported once.
 */
static int gate(struct ktls *k, bool keep_error)
{
	struct ktls_rx *rx = &k->rx;
	int err = tls_rx_ready(&rx->engine);

	if (err)
		return err;
	err = rx->pending_error;
	if (err && !keep_error)
		rx->pending_error = 0;
	if (err)
		return err;
	return rx->engine.stopped ? -EAGAIN : 0;
}

int receive_hold(struct ktls *k, bool peek)
{
	int err;

	if (k->rx.is_held)
		return 0;
	err = gate(k, peek);
	if (!err)
		err = hold_next(k);
	if (err == k->rx.pending_error && !peek)
		k->rx.pending_error = 0;
	return err;
}

/* ---- what the call may return ---- */

/* May this call return a record of @type? RX_ADMITTED, RX_STOP or -EIO. */
static int admit(struct rx_request *rq, u8 type)
{
	bool first;
	int ok = tls_rx_admit(&rq->call, type, &first);

	if (ok <= 0)
		return ok ? ok : RX_STOP;
	if (!first)
		return RX_ADMITTED;
	if (rq->call.has_control &&
	    !put_cmsg(rq->msg, SOL_TLS, TLSULP_GET_RECORD_TYPE, sizeof(type), &type))
		return RX_ADMITTED;
	rq->msg->msg_flags |= MSG_CTRUNC;
	if (type == TLSULP_DATA)
		return RX_ADMITTED;
	rq->call.type = 0;
	return -EIO;
}

/* After a record was returned whole: on, or stop because it was not data. */
static int after_record(struct rx_request *rq)
{
	rq->msg->msg_flags |= MSG_EOR;
	return rq->call.type == TLSULP_DATA ? 0 : RX_STOP;
}

static int give_held(struct ktls *k, struct rx_request *rq)
{
	struct ktls_rx *rx = &k->rx;
	size_t n = min(rx->held_len, msg_data_left(rq->msg)), put, left = rx->held_len;
	int ok = admit(rq, rx->held_type);

	if (ok != RX_ADMITTED)
		return ok;
	put = n ? pages_copy_to(&rx->held, rx->held_off, n, &rq->msg->msg_iter) : 0;
	rq->done += put;
	if (put || !left)
		receive_consume(k, put);
	if (put < n)
		return -EFAULT;
	if (put < left)
		return rq->call.type == TLSULP_DATA ? 0 : RX_STOP;
	return after_record(rq);
}

/* ---- straight to the caller ---- */

/* The length of the next record's text if it may; else 0. */
static size_t may_go_straight(const struct ktls *k, const struct rx_request *rq)
{
	const struct ktls_rx *rx = &k->rx;
	size_t len = tls_record_plain_max(&rx->engine.keys, rx->wire_len - TLS_HEADER_LEN);

	if (len < STRAIGHT_MIN || len > TLS_PAYLOAD_MAX || len > msg_data_left(rq->msg) ||
	    rx->detours || rx->engine.header[0] != TLSULP_DATA ||
	    (rq->call.type && rq->call.type != TLSULP_DATA) ||
	    !user_backed_iter(&rq->msg->msg_iter))
		return 0;
	return len;
}

/* The record as @r says, @hidden bytes (the inner type) after the text. */
static int open_straight(struct ktls *k, const struct tls_record *r, struct pages *text,
			 size_t hidden)
{
	struct aead *a = k->rx.aead;
	size_t len = r->plain_len + TLS_TAG_LEN;
	int err;

	aead_begin(a, r);
	a->byte = 0;
	err = map_from(k, r->prefix_len, len);
	if (!err)
		err = pages_each(text, 0, text->len, aead_to, a);
	if (!err && hidden)
		err = aead_to_byte(a);
	return err ? err : aead_open(a, len);
}

/* @text was opened: is it what it was taken for? */
static bool is_plain_data(struct ktls *k, const struct tls_record *r)
{
	if (k->rx.engine.keys.version != TLSULP_VERSION_1_3 || k->rx.aead->byte == TLSULP_DATA)
		return true;
	k->rx.detours = DETOURS;
	return false;
}

/* The next record, which is there: 0, -EAGAIN: not this way, or negative errno. */
static int give_straight(struct ktls *k, struct rx_request *rq)
{
	struct ktls_rx *rx = &k->rx;
	size_t hidden = rx->engine.keys.version == TLSULP_VERSION_1_3;
	struct pages text = { .n = 0 };
	struct tls_record r;
	size_t len = may_go_straight(k, rq);
	int err;

	if (!len || plan(k, 0, 0, rx->engine.header, rx->wire_len - TLS_HEADER_LEN, &r) ||
	    pages_refer(&text, &rq->msg->msg_iter, len))
		return -EAGAIN;
	err = open_straight(k, &r, &text, hidden);
	if (!err) {
		pages_mark_dirty(&text);
		err = is_plain_data(k, &r) ? 0 : -EAGAIN;
	} else {
		err = err == -EBADMSG ? err : -EAGAIN;
	}
	if (err) {
		pages_wipe(&text);
		iov_iter_revert(&rq->msg->msg_iter, len);
	}
	pages_free(&text);
	if (err)
		return err == -EBADMSG ? bad_record(k, err) : err;
	advance(k);
	rq->done += len;
	admit(rq, TLSULP_DATA);
	return after_record(rq);
}

static int next_record(struct ktls *k, struct rx_request *rq)
{
	int err;

	if (k->rx.is_held)
		return give_held(k, rq);
	err = gate(k, rq->done);
	if (!err)
		err = need_record(k);
	if (!err) {
		err = give_straight(k, rq);
		if (err != -EAGAIN)
			return err;
		err = hold_next(k);
	}
	if (!err)
		return give_held(k, rq);
	if (err == k->rx.pending_error && !rq->done)
		k->rx.pending_error = 0;
	return err;
}

int receive(struct ktls *k, struct rx_request *rq)
{
	int err = 0;

	while (!err && msg_data_left(rq->msg))
		err = next_record(k, rq);
	/* An error that comes after data belongs to the next call. */
	return err < 0 && err != -EAGAIN && rq->done ? RX_STOP : err;
}

/* ---- MSG_PEEK ---- */

/* The record at @off behind the held one, and its wire length: 0, RX_STOP, or negative errno. */
static int peek_record(struct ktls *k, size_t off, u64 ahead, struct rx_request *rq, size_t *wire)
{
	struct pages text = { .n = 0 };
	uint8_t header[TLS_HEADER_LEN], type;
	size_t n;
	int err, body_len;

	if (queue_read(k->sk, off, header, sizeof(header)))
		return -EAGAIN;
	body_len = tls_record_header(&k->rx.engine.keys, header);
	if (body_len < 0)
		return body_len;
	if (queue_len(k->sk) < off + TLS_HEADER_LEN + body_len)
		return -EAGAIN;
	err = open_record(k, off, ahead, header, body_len, &text, &type);
	if (err)
		return err;
	err = admit(rq, type);
	if (err == RX_ADMITTED) {
		n = min(text.len, msg_data_left(rq->msg));
		err = pages_copy_to(&text, 0, n, &rq->msg->msg_iter) == n ? 0 : -EFAULT;
		rq->done += err ? 0 : n;
	} else {
		err = RX_STOP;
	}
	pages_free(&text);
	*wire = TLS_HEADER_LEN + body_len;
	return err;
}

static int peek_held(struct ktls *k, struct rx_request *rq)
{
	struct ktls_rx *rx = &k->rx;
	size_t n = min(rx->held_len, msg_data_left(rq->msg));
	int ok = admit(rq, rx->held_type);

	if (ok != RX_ADMITTED)
		return ok;
	if (n && pages_copy_to(&rx->held, rx->held_off, n, &rq->msg->msg_iter) != n)
		return -EFAULT;
	rq->done += n;
	return rq->call.type == TLSULP_DATA ? 0 : RX_STOP;
}

int receive_peek(struct ktls *k, struct rx_request *rq)
{
	size_t off = 0, wire = 0;
	u64 ahead = 0;
	int err = receive_hold(k, true);

	if (!err)
		err = peek_held(k, rq);
	while (!err && msg_data_left(rq->msg)) {
		err = peek_record(k, off, ahead++, rq, &wire);
		off += wire;
	}
	return err < 0 && err != -EAGAIN && rq->done ? RX_STOP : err;
}

/* ---- readiness ---- */

bool receive_settle(struct ktls *k)
{
	struct ktls_rx *rx = &k->rx;
	bool ready;
	int err;

	if (rx->is_held || rx->engine.error || rx->pending_error) {
		ready = true;
	} else if (rx->engine.paused || rx->engine.stopped) {
		ready = false;
	} else {
		err = need_header(k);
		ready = err ? err != -EAGAIN : available(k) >= rx->wire_len;
	}
	WRITE_ONCE(rx->ready, ready);
	return ready;
}

bool receive_end(struct ktls *k)
{
	if (receive_settle(k))
		return true;
	if (k->rx.wire_len && !k->rx.engine.paused && queue_len(k->sk) && queue_is_full(k->sk) &&
	    drain(k))
		schedule_delayed_work(&k->rx.work, RETRY);
	return false;
}

void receive_free(struct ktls *k)
{
	pages_free(&k->rx.held);
	pages_free(&k->rx.part);
	uncharge(k);
}
