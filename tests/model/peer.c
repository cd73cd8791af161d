// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The other end is OpenSSL's record layer; its bytes go through a plain socket in any pieces. */
#include "tests/model/walk.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#define HELD_MAX (8u << 20)
#define OUT 1 /* the direction that OpenSSL sends */
#define IN 0

static uint8_t held[HELD_MAX]; /* sealed, not yet in the socket */
static size_t held_len;
static uint8_t text[CALL_MAX];

static SSL *ssl(void)
{
	return w->pair.server;
}

/* A control record reached OpenSSL: it is the next one of the model. Or it sends one. */
static void on_message(int write, int version, int type, const void *p, size_t n, SSL *s, void *arg)
{
	struct model *m = &w->dir[IN];
	const struct model_record *r = model_record(m, 0);

	if (type != SSL3_RT_ALERT && type != SSL3_RT_HANDSHAKE)
		return;
	if (write) {
		model_sent(&w->dir[OUT], &(struct model_call){ 0, MODEL_TYPE, type, n }, p, n);
		note_more(" [sends type %d]", type);
		return;
	}
	if (!m->count || r->type != type || r->len != n || !model_same(m, p, n))
		differ("OpenSSL read a record of type %d, %zu bytes; the model has type %d, %u",
		       type, n, m->count ? r->type : 0, m->count ? r->len : 0);
	model_take(m, n);
	m->paused = false; /* it takes its new key itself */
	note_more(" [type %d]", type);
}

void peer_setup(void)
{
	held_len = 0;
	SSL_set_msg_callback(ssl(), on_message);
	if (one_in(2)) {
		w->dir[OUT].limit = 512 + draw(MODEL_BYTES) % (16384 - 511);
		SSL_set_max_send_fragment(ssl(), w->dir[OUT].limit);
	}
	if (w->version == TLSULP_VERSION_1_3 && one_in(3))
		SSL_set_block_padding(ssl(), 1 + draw(700));
}

/* What OpenSSL sealed is as many records as the model says. */
static void collect(uint64_t closed_before)
{
	size_t n = BIO_pending(w->pair.to_client);
	uint32_t count = w->dir[OUT].closed - closed_before, seen = 0;
	uint8_t *p = held + held_len;

	if (!n && !count)
		return;
	if (held_len + n > HELD_MAX || BIO_read(w->pair.to_client, p, n) != (int)n)
		differ("%zu bytes sealed by OpenSSL do not fit", n);
	held_len += n;
	for (; n; seen++) {
		size_t len = 5 + (p[3] << 8 | p[4]);

		if (len > n || seen == count)
			differ("OpenSSL made other records than the model's %u: %zu bytes, %zu "
			       "left, %u seen",
			       count, len, n, seen);
		w->wire[(closed_before + seen) % MODEL_RECORDS] = len;
		p += len;
		n -= len;
	}
	if (seen != count)
		differ("OpenSSL made %u records, the model %u", seen, count);
}

void peer_send(void)
{
	struct model *m = &w->dir[OUT];
	uint64_t closed = m->closed;
	size_t n = draw_size(CALL_MAX), done = 0;

	if (!n || m->ended || m->in - m->out + n > MODEL_BYTES / 2 ||
	    m->count + n / 512 + 2 > MODEL_RECORDS / 2)
		return;
	note("OpenSSL writes %zu", n);
	fill_drawn(text, n);
	if (SSL_write_ex(ssl(), text, n, &done) != 1 || done != n)
		differ("SSL_write() of %zu bytes wrote %zu", n, done);
	model_sent(m, &(struct model_call){ .len = n }, text, n);
	collect(closed);
	if (one_in(3))
		peer_pump(draw_size(held_len));
	else
		peer_pump(held_len);
}

void peer_key_update(void)
{
	struct model *m = &w->dir[OUT];
	uint64_t closed = m->closed;

	if (w->version != TLSULP_VERSION_1_3 || m->ended || m->count > MODEL_RECORDS / 2)
		return;
	note("OpenSSL updates its key");
	SSL_key_update(ssl(), one_in(2) ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
	SSL_do_handshake(ssl());
	collect(closed);
	peer_pump(one_in(2) ? held_len : draw(30));
}

bool peer_has_pending(void)
{
	return held_len != 0;
}

void peer_pump(size_t n)
{
	ssize_t put;

	n = n < held_len ? n : held_len;
	if (!n)
		return;
	put = send(any_fd(1), held, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	note_more(" [%zd of %zu to the socket]", put, held_len);
	if (put <= 0)
		return;
	held_len -= put;
	memmove(held, held + put, held_len);
	w->given += put;
}

void peer_fill(void)
{
	static uint8_t raw[65536];
	ssize_t n;

	while ((n = recv(any_fd(1), raw, sizeof(raw), MSG_DONTWAIT)) > 0)
		if (BIO_write(w->pair.to_server, raw, n) != n)
			differ("no memory for OpenSSL");
}

static void nothing_there(const struct there *there)
{
	uint32_t left = w->dir[IN].count;
	int err = SSL_get_error(ssl(), 0);

	if (err == SSL_ERROR_ZERO_RETURN)
		return;
	if (err != SSL_ERROR_WANT_READ)
		differ("SSL_read() says %d: %s", err, ERR_reason_error_string(ERR_peek_error()));
	if (left && there->settled)
		differ("OpenSSL has no record; the model has %u", left);
	note_more(" -> nothing");
}

void peer_take(void)
{
	struct model *m = &w->dir[IN];
	struct there there = link_there(IN);
	struct model_result least;
	uint64_t closed = w->dir[OUT].closed;
	size_t room = 1 + draw_size(20000), n = 0;
	bool got;

	note("OpenSSL reads up to %zu", room);
	peer_fill();
	got = SSL_read_ex(ssl(), text, room, &n) == 1;
	collect(closed); /* the answer to a KeyUpdate */
	if (!got) {
		nothing_there(&there);
		return;
	}
	note_more(" -> %zu", n);
	least = model_recv(m, m->count ? 1 : 0, room, false);
	if (least.err || n != least.n || !model_same(m, text, n))
		differ("OpenSSL got %zu bytes, model: %zu, errno %d, the same bytes: %d", n,
		       least.n, least.err, model_same(m, text, n < least.n ? n : least.n));
	model_take(m, n);
	w->bytes += n;
	w->exact++;
}

void peer_shutdown(void)
{
	uint64_t closed = w->dir[OUT].closed;

	note("OpenSSL sends close_notify");
	SSL_shutdown(ssl());
	collect(closed);
}
