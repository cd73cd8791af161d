// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/transmit.h"

#include "user/fault.h"
#include "user/real.h"
#include "user/scratch.h"
#include "user/stats.h"
#include "user/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* So few bytes are copied beside their inner type, which costs less than sealing two pieces. */
#define COPIED 256
#define WRITE_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)

/* The place @at bytes on. A vector may have a thousand pieces before it: not from the start again.
 */
static struct iov_cursor *iov_seek(struct iov_source *s, size_t at)
{
	if (at < s->ahead_at) {
		s->ahead = s->cursor;
		s->ahead_at = 0;
	}
	iov_advance(&s->ahead, at - s->ahead_at);
	s->ahead_at = at;
	return &s->ahead;
}

static int iov_fill(struct source *src, size_t at, uint8_t *dst, size_t n)
{
	struct iov_source *s = (struct iov_source *)src;
	ssize_t got = iov_read(iov_seek(s, at), dst, n);

	s->ahead_at += got > 0 ? got : 0;
	return got == (ssize_t)n ? 0 : -EFAULT;
}

static const uint8_t *iov_direct(struct source *src, size_t at, size_t n)
{
	if (n <= COPIED)
		return NULL;
	return iov_contiguous(iov_seek((struct iov_source *)src, at), n);
}

static void iov_accept(struct source *src, size_t n)
{
	struct iov_source *s = (struct iov_source *)src;

	if (n > s->ahead_at)
		iov_seek(s, n);
	s->ahead_at -= n;
	iov_advance(&s->cursor, n);
}

void iov_source_init(struct iov_source *s, const struct iov_cursor *cursor)
{
	s->source = (struct source){ .left = cursor->left,
				     .fill = iov_fill,
				     .direct = iov_direct,
				     .accept = iov_accept,
				     .origin = cursor->start };
	s->cursor = s->ahead = *cursor;
	s->ahead_at = 0;
}

/* Bytes that went out, or negative errno. Never waits, never raises SIGPIPE. */
static ssize_t write_wire(struct conn *c, int fd, const uint8_t *p, size_t n)
{
	ssize_t done = sys_call(SYS_sendto, fd, p, n, WRITE_FLAGS, NULL, 0);

	if (done < 0)
		return -errno;
	session_wrote(c->session, done);
	return done;
}

int transmit_rest(struct conn *c, int fd)
{
	struct session_tx *tx = &c->session->tx;
	ssize_t n;

	if (__builtin_expect(!tx->rest_len, 1))
		return 0;
	n = session_take_error(c->session);
	if (!n)
		n = write_wire(c, fd, arena_buffer(c->arena, tx->rest_buffer) + tx->rest_off,
			       tx->rest_len);
	if (n < 0)
		return n;
	tx->rest_off += n;
	tx->rest_len -= n;
	if (tx->rest_len)
		return -EAGAIN;
	arena_buffer_give(c->arena, &tx->rest_buffer, 0);
	return 0;
}

/* Of memory that is cold: the pages' tables are walked side by side, not one after the other. */
static void touch_pages(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += SCRATCH_PAGE)
		__builtin_prefetch(p + i);
}

/* Seal straight from the caller's memory, which may be bad. */
static int seal_direct(struct conn *c, const struct tls_record *r, const uint8_t *plain,
		       uint8_t *out)
{
	struct iovec in[2] = { { (void *)plain, r->plain_len },
			       { (void *)&r->inner_type, r->inner_len } };
	sigjmp_buf jump;
	int err;

	if (!fault_guarded(jump))
		return -EFAULT;
	touch_pages(plain, r->plain_len);
	err = aead_seal(c->tx_key, r->nonce, r->aad, r->aad_len, in, r->inner_len ? 2 : 1, out);
	fault_done();
	return err;
}

static int seal_in_place(struct conn *c, const struct tls_record *r, uint8_t *payload)
{
	struct iovec in = { payload, (size_t)r->plain_len + r->inner_len };

	if (r->inner_len)
		payload[r->plain_len] = r->inner_type;
	return aead_seal(c->tx_key, r->nonce, r->aad, r->aad_len, &in, 1, payload);
}

/*
 * One more record at the end of the batch: @open bytes that MSG_MORE gathered,
 * then @fresh bytes from the source, @at bytes on. 0 or negative errno.
 */
static int batch_add(struct conn *c, struct batch *b, struct source *s, uint8_t type, size_t open,
		     size_t at, size_t fresh)
{
	struct session_tx *tx = &c->session->tx;
	const uint8_t *direct = NULL;
	struct tls_record r;
	uint8_t *payload;
	int err = tls_tx_plan(&tx->engine, b->count, type, open + fresh, &r);

	if (err) {
		tls_tx_fail(&tx->engine, err);
		return err;
	}
	payload = b->bytes + b->len + r.prefix_len;
	if (open && !fresh)
		direct = arena_buffer(c->arena, tx->open_buffer);
	else if (!open && s->direct)
		direct = s->direct(s, at, fresh);
	if (direct) {
		err = seal_direct(c, &r, direct, payload);
	} else {
		if (open)
			memcpy(payload, arena_buffer(c->arena, tx->open_buffer), open);
		err = fresh ? s->fill(s, at, payload + open, fresh) : 0;
		if (!err)
			err = seal_in_place(c, &r, payload);
	}
	if (err)
		return err;
	memcpy(b->bytes + b->len, r.prefix, r.prefix_len);
	b->wire[b->count] = r.wire_len;
	b->fresh[b->count] = fresh;
	b->len += r.wire_len;
	b->count++;
	return 0;
}

/* No record is open any more; @used bytes of plaintext were in its buffer. */
static void open_done(struct conn *c, size_t used)
{
	struct session_tx *tx = &c->session->tx;

	if (!tx->open_buffer)
		return;
	tx->engine.open_len = 0;
	arena_buffer_give(c->arena, &tx->open_buffer, used);
}

/* Learn from what the socket took how much to seal at once. */
static void adapt(struct conn *c, unsigned int sent, const struct batch *b)
{
	uint32_t next = sent < b->count ? sent : 2 * c->tx_batch;

	c->tx_batch = next < 1 ? 1 : next > SCRATCH_RECORDS ? SCRATCH_RECORDS : next;
}

/* @len bytes at @p wait in the session for room in the socket. */
static void keep_rest(struct conn *c, const uint8_t *p, size_t len)
{
	struct session_tx *tx = &c->session->tx;

	arena_buffer_take_own(c->arena, &tx->rest_buffer);
	memcpy(arena_buffer(c->arena, tx->rest_buffer), p, len);
	tx->rest_off = 0;
	tx->rest_len = len;
}

/*
 * Write the batch. Records of which at least one byte went out are committed,
 * and the rest of a split one is kept; the others never happened. With @keep
 * the first record is committed even if the socket took nothing. Returns the
 * number committed, or the socket's errno if none was.
 */
static ssize_t batch_write(struct conn *c, int fd, struct batch *b, bool keep)
{
	struct session_tx *tx = &c->session->tx;
	ssize_t n = write_wire(c, fd, b->bytes, b->len);
	size_t off = 0, bytes = 0;
	unsigned int sent = 0;

	if (n == -EAGAIN && keep)
		n = 0;
	if (n < 0 || (!n && !keep)) {
		adapt(c, 0, b);
		return n < 0 ? n : -EAGAIN;
	}
	while (sent < b->count && (off < (size_t)n || (keep && !sent))) {
		bytes += b->wire[sent] - tls_record_overhead(&tx->engine.keys) - TLS_HEADER_LEN;
		off += b->wire[sent++];
	}
	tls_tx_commit(&tx->engine, sent);
	stats_tx(c->session, sent, bytes);
	open_done(c, tx->engine.open_len);
	if (off > (size_t)n)
		keep_rest(c, b->bytes + n, off - n);
	adapt(c, off > (size_t)n ? sent - 1 : sent, b);
	wire_check_sometimes(c, fd);
	return sent;
}

/* Room to work in for bytes from @origin, before anything changes: 0 or -ENOMEM. */
static int prepare(struct conn *c, struct batch *b, uintptr_t origin)
{
	size_t prefix = tls_record_prefix_len(&c->session->tx.engine.keys);
	struct scratch *scratch = scratch_get();

	if (!scratch || conn_tx_key(c))
		return -ENOMEM;
	b->bytes = scratch_off(scratch_tx(scratch), origin - prefix);
	b->len = b->count = 0;
	b->uses = scratch->tx_uses;
	return 0;
}

/* One data record: @open bytes that MSG_MORE gathered, or @fresh ones of @s. */
static int send_one(struct conn *c, int fd, struct source *s, size_t open, size_t fresh, bool keep)
{
	struct batch b;
	ssize_t n;
	int err = prepare(c, &b, 0);

	if (!err)
		err = batch_add(c, &b, s, TLSULP_DATA, open, 0, fresh);
	if (err)
		return err;
	n = batch_write(c, fd, &b, keep);
	if (n < 0)
		return n;
	return c->session->tx.rest_len ? -EAGAIN : 0;
}

int transmit_open(struct conn *c, int fd, bool keep)
{
	size_t open = c->session->tx.engine.open_len;
	int err = transmit_rest(c, fd);

	return err || !open ? err : send_one(c, fd, NULL, open, 0, keep);
}

uint8_t *transmit_room(struct conn *c)
{
	struct batch b;

	if (prepare(c, &b, 0))
		return NULL;
	return b.bytes + tls_record_prefix_len(&c->session->tx.engine.keys);
}

static int filled_fill(struct source *s, size_t at, uint8_t *dst, size_t n)
{
	return 0; /* they are there */
}

int transmit_filled(struct conn *c, int fd, size_t n)
{
	struct source there = { .left = n, .fill = filled_fill };

	return send_one(c, fd, &there, 0, n, true);
}

static void accept_bytes(struct source *s, size_t n)
{
	s->accept(s, n);
	s->left -= n;
	s->accepted += n;
}

/* MSG_MORE: the bytes join the open record. */
static int gather(struct conn *c, struct source *s, size_t n)
{
	struct session_tx *tx = &c->session->tx;
	int err;

	if (!tx->open_buffer && !arena_buffer_take(c->arena, &tx->open_buffer))
		return -ENOMEM;
	err = s->fill(s, 0, arena_buffer(c->arena, tx->open_buffer) + tx->engine.open_len, n);
	if (!err) {
		tx->engine.open_len += n;
		accept_bytes(s, n);
	} else if (!tx->engine.open_len) {
		open_done(c, n); /* a part of them may have come */
	}
	return err == -ENODATA ? 0 : err;
}

/* The plaintext of all the records that fill_batch() will make, if there are several. */
static void scatter(struct conn *c, struct batch *b, struct source *s, bool more)
{
	struct session_tx *tx = &c->session->tx;
	size_t over = TLS_HEADER_LEN + tls_record_overhead(&tx->engine.keys);
	uint8_t *payload = b->bytes + tls_record_prefix_len(&tx->engine.keys);
	const uint8_t *end = payload + SCRATCH_TX_SIZE; /* as fill_batch() counts */
	struct iovec places[SCRATCH_RECORDS];
	size_t at = 0, count = 0;
	bool ends = true;

	while (!tx->engine.open_len && !s->direct && at < s->left && count < c->tx_batch) {
		size_t take = tls_tx_next(&tx->engine, 0, s->left - at, more, &ends);

		if (!ends || payload + take + over > end)
			break;
		places[count++] = (struct iovec){ payload, take };
		payload += take + over;
		at += take;
	}
	s->scatter(s, places, count > 1 ? count : 0);
}

/*
 * Seal what fits into one batch. *@tail tells how many bytes after it do not
 * end a record and are to be gathered.
 */
static int fill_batch(struct conn *c, struct batch *b, struct source *s, uint8_t type, bool more,
		      size_t *tail)
{
	struct session_tx *tx = &c->session->tx;
	unsigned int limit = c->tx_batch;
	size_t over = TLS_HEADER_LEN + tls_record_overhead(&tx->engine.keys);
	size_t at = 0;

	*tail = 0;
	if (s->scatter)
		scatter(c, b, s, more);
	while (at < s->left && b->count < limit) {
		size_t open = b->count ? 0 : tx->engine.open_len;
		bool ends;
		size_t take = tls_tx_next(&tx->engine, open, s->left - at, more, &ends);
		int err;

		if (b->len + open + take + over > SCRATCH_TX_SIZE)
			return 0;

		if (!ends) {
			*tail = take;
			return 0;
		}
		err = batch_add(c, b, s, type, open, at, take);
		if (err == -ENODATA)
			continue;
		if (err) /* what is sealed already may go; the error comes again without it */
			return b->count ? 0 : err;
		at += take;
	}
	return 0;
}

static struct tx_place place_of(const struct tls_tx *tx)
{
	return (struct tx_place){ tx->keys.seq, tx->key_gen, tx->open_len, tx->max_payload };
}

/* A handler that was not to run (of a SIGSEGV that another sent) may have used scratch, too. */
static bool is_intact(const struct batch *b)
{
	return b->uses == scratch_get()->tx_uses;
}

/* The socket took nothing of it: if the call goes on, nothing need be sealed again. */
static void leave_batch(struct conn *c, const struct batch *b, struct source *s)
{
	struct scratch *scratch = scratch_get();

	scratch->left = *b;
	s->left_in = scratch;
	s->left_at = place_of(&c->session->tx.engine);
}

/* Meanwhile a handler may have used scratch, and others may have sent or changed the key. */
static bool find_batch(struct conn *c, struct batch *b, struct source *s)
{
	const struct scratch *in = s->left_in;
	struct tx_place now;

	if (__builtin_expect(!in, 1))
		return false;
	s->left_in = NULL;
	now = place_of(&c->session->tx.engine);
	if (in != scratch_get() || !is_intact(&in->left) || now.seq != s->left_at.seq ||
	    now.key_gen != s->left_at.key_gen || now.open_len != s->left_at.open_len ||
	    now.max_payload != s->left_at.max_payload)
		return false;
	*b = in->left;
	return true;
}

/* One batch or one gathering. Returns 0 to go on, or why not. */
static int step(struct conn *c, int fd, struct source *s, uint8_t type, bool more)
{
	struct batch b;
	ssize_t sent;
	size_t tail;
	int err = 0;

	if (!find_batch(c, &b, s)) {
		err = prepare(c, &b, s->origin + s->accepted);
		if (!err)
			err = fill_batch(c, &b, s, type, more, &tail);
		if (err || !b.count)
			return err || !tail ? err : gather(c, s, tail);
		if (!is_intact(&b))
			return 0;
	}
	sent = batch_write(c, fd, &b, false);
	if (sent == -EAGAIN)
		leave_batch(c, &b, s);
	if (sent < 0)
		return sent;
	for (ssize_t i = 0; i < sent; i++)
		accept_bytes(s, b.fresh[i]);
	return c->session->tx.rest_len ? -EAGAIN : 0;
}

size_t transmit(struct conn *c, int fd, struct source *s, int type, bool more, int *err)
{
	uint8_t record_type = type == TRANSMIT_JOIN ? TLSULP_DATA : type;
	size_t before = s->accepted;

	/* Nothing to send and no record to end: what an earlier call left does not matter. */
	*err = 0;
	if (!s->left && (type == TRANSMIT_JOIN || !c->session->tx.engine.open_len))
		return 0;
	*err = transmit_rest(c, fd);
	if (!*err && type != TRANSMIT_JOIN)
		*err = transmit_open(c, fd, false);
	while (!*err && s->left)
		*err = step(c, fd, s, record_type, more);
	return s->accepted - before;
}
