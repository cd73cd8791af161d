// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/session.h"

#include <string.h>

/* @off + @len bytes of @buffer, or nothing of none. */
static bool is_piece(const struct arena *a, uint32_t buffer, uint32_t off, uint32_t len)
{
	return (buffer ? arena_has_buffer(a, buffer) : !len) && off <= ARENA_BUFFER_SIZE &&
	       len <= ARENA_BUFFER_SIZE - off;
}

static bool is_keys(const struct tls_keys *k)
{
	if (!k->version)
		return true;
	return (k->version == TLSULP_VERSION_1_2 || k->version == TLSULP_VERSION_1_3) &&
	       k->cipher >= TLSULP_AES_GCM_128 && k->cipher <= TLSULP_ARIA_GCM_256;
}

bool session_tx_is_sane(const struct session *s, const struct arena *a)
{
	const struct session_tx *tx = &s->tx;

	return is_keys(&tx->engine.keys) && tx->engine.error <= 0 && tx->pending_error <= 0 &&
	       tx->engine.max_payload && tx->engine.max_payload <= TLS_PAYLOAD_MAX &&
	       tx->engine.open_len <= TLS_PAYLOAD_MAX &&
	       is_piece(a, tx->open_buffer, 0, tx->engine.open_len) &&
	       is_piece(a, tx->rest_buffer, tx->rest_off, tx->rest_len);
}

bool session_rx_is_sane(const struct session *s, const struct arena *a)
{
	const struct session_rx *rx = &s->rx;

	return is_keys(&rx->engine.keys) && rx->engine.header_len <= TLS_HEADER_LEN &&
	       rx->engine.error <= 0 && rx->pending_error <= 0 && rx->body_len <= TLS_BODY_MAX &&
	       (!rx->body_len || rx->body_len >= tls_record_body_min(&rx->engine.keys)) &&
	       rx->body_have <= rx->body_len && is_piece(a, rx->buffer, 0, rx->body_have) &&
	       (!rx->buffer || arena_has_buffer(a, rx->buffer)) &&
	       (!rx->held || is_piece(a, rx->buffer, rx->held_off, rx->held_len)) &&
	       rx->held_off <= ARENA_BUFFER_SIZE && rx->held_len <= ARENA_BUFFER_SIZE &&
	       rx->ahead_len <= ARENA_BUFFER_SIZE && rx->ahead_off <= rx->ahead_len &&
	       rx->ahead_unqueued <= TLS_HEADER_LEN &&
	       (!rx->ahead_off || rx->ahead_off >= rx->ahead_unqueued) &&
	       (!rx->ahead_len || (rx->buffer && !rx->held && !rx->body_len));
}

/* The versions stay: a direction that had a key must never become plain TCP. */
void session_wipe_keys(struct session *s)
{
	explicit_bzero(s->tx.engine.keys.key, sizeof(s->tx.engine.keys.key));
	explicit_bzero(s->tx.engine.keys.iv, sizeof(s->tx.engine.keys.iv));
	explicit_bzero(s->rx.engine.keys.key, sizeof(s->rx.engine.keys.key));
	explicit_bzero(s->rx.engine.keys.iv, sizeof(s->rx.engine.keys.iv));
}

void session_wipe(struct session *s)
{
	session_wipe_keys(s);
	/* Whose buffers these are is not known any more: they are left alone. */
	s->tx.open_buffer = s->tx.rest_buffer = s->rx.buffer = 0;
	s->tx.rest_off = s->tx.rest_len = s->tx.engine.open_len = 0;
	s->tx.pending_error = s->rx.pending_error = 0;
	s->rx.body_len = s->rx.body_have = s->rx.held_off = s->rx.held_len = 0;
	s->rx.ahead_len = s->rx.ahead_off = 0;
	s->rx.held = s->rx.tail = false;
	s->rx.engine.header_len = 0;
	s->magic = SESSION_MAGIC;
}

void session_give_buffers(struct session *s, struct arena *a)
{
	arena_buffer_give(a, &s->tx.open_buffer, TLS_PAYLOAD_MAX);
	arena_buffer_give(a, &s->tx.rest_buffer, 0);
	arena_buffer_give(a, &s->rx.buffer, TLS_BODY_MAX);
}
