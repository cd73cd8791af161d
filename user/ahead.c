// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/ahead.h"

#include "user/real.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define BODY_MAX 4096 /* larger records are read one by one, straight to where they are opened */
#define MISSES 8 /* after a vain look so many records are read without another */

static uint8_t *run_of(struct conn *c)
{
	return arena_buffer(c->arena, c->session->rx.buffer);
}

/* Bytes of whole records with good headers at @p, *@count of them. */
static size_t whole_records(const struct tls_keys *k, const uint8_t *p, size_t have, int *count)
{
	size_t at = 0;

	for (*count = 0; have - at >= TLS_HEADER_LEN; ++*count) {
		int body = tls_record_header(k, p + at);

		if (body < 0 || have - at < TLS_HEADER_LEN + (size_t)body)
			break;
		at += TLS_HEADER_LEN + body;
	}
	return at;
}

bool ahead_is_likely(const struct session_rx *rx)
{
	return rx->body_len && rx->body_len <= BODY_MAX && !rx->body_have && !rx->buffer;
}

static void begin(struct session_rx *rx, size_t len, size_t unqueued)
{
	rx->ahead_off = 0;
	rx->ahead_len = len;
	rx->ahead_unqueued = unqueued;
	rx->body_len = 0;
}

bool ahead_begin(struct conn *c, int fd)
{
	struct session_rx *rx = &c->session->rx;
	ssize_t got = 0;
	int count = 0;
	size_t len;

	if (rx->ahead_misses) {
		rx->ahead_misses--;
		return false;
	}
	arena_buffer_take_own(c->arena, &rx->buffer);
	memcpy(run_of(c), rx->engine.header, TLS_HEADER_LEN);
	got = sys_call(SYS_recvfrom, fd, run_of(c) + TLS_HEADER_LEN,
		       ARENA_BUFFER_SIZE - TLS_HEADER_LEN, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	len = got <= 0 ? 0
		       : whole_records(&rx->engine.keys, run_of(c), TLS_HEADER_LEN + got, &count);
	if (count < 2) {
		arena_buffer_give(c->arena, &rx->buffer, 0);
		rx->ahead_misses = MISSES;
		return false;
	}
	begin(rx, len, TLS_HEADER_LEN);
	return true;
}

bool ahead_begin_with(struct conn *c, const uint8_t *p, size_t n)
{
	struct session_rx *rx = &c->session->rx;
	int count;
	size_t len = whole_records(&rx->engine.keys, p, n, &count);

	if (!count)
		return false;
	arena_buffer_take_own(c->arena, &rx->buffer);
	memcpy(run_of(c), p, len);
	begin(rx, len, 0);
	return true;
}

bool ahead_open(struct conn *c, size_t room, struct ahead_record *out)
{
	struct session_rx *rx = &c->session->rx;
	uint8_t *p = run_of(c) + rx->ahead_off, *text;
	int body_len = tls_record_header(&rx->engine.keys, p);
	struct tls_record r;

	if (body_len < 0 || TLS_HEADER_LEN + body_len > rx->ahead_len - rx->ahead_off ||
	    tls_record_plain_max(&rx->engine.keys, body_len) > room ||
	    tls_rx_plan(&rx->engine, 0, p, p + TLS_HEADER_LEN, body_len, &r))
		return false;
	text = p + r.prefix_len;
	if (aead_open(c->rx_key, r.nonce, r.aad, r.aad_len, text, r.plain_len, text) ||
	    tls_rx_opened(&rx->engine, &r, text, &out->type, &out->len))
		return false;
	out->text = text;
	out->plain_len = r.plain_len;
	out->wire_len = r.wire_len;
	return true;
}

void ahead_take(struct conn *c, int fd, const struct ahead_record *r)
{
	struct session_rx *rx = &c->session->rx;

	rx->last_len = r->wire_len - TLS_HEADER_LEN;
	tls_rx_advance(&rx->engine);
	rx->ahead_off += r->wire_len;
	if (rx->ahead_off == rx->ahead_len)
		ahead_end(c, fd);
}

void ahead_end(struct conn *c, int fd)
{
	struct session_rx *rx = &c->session->rx;
	size_t drop = rx->ahead_off ? rx->ahead_off - rx->ahead_unqueued : 0;

	arena_buffer_give(c->arena, &rx->buffer, rx->ahead_len);
	rx->ahead_len = rx->ahead_off = 0;
	rx->taken++;
	while (drop) {
		ssize_t got = sys_call(SYS_recvfrom, fd, NULL, drop, MSG_TRUNC | MSG_DONTWAIT, NULL,
				       NULL);

		if (got <= 0) {
			tls_rx_fail(&rx->engine, got ? -errno : -EBADMSG);
			return;
		}
		drop -= got;
	}
}
