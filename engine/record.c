// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine/record.h"

static void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put_be64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = v;
}

static size_t explicit_len(const struct tls_keys *k)
{
	if (k->version != TLSULP_VERSION_1_2)
		return 0;
	return tls_cipher_find(k->cipher)->explicit_len;
}

static size_t inner_len(const struct tls_keys *k)
{
	return k->version == TLSULP_VERSION_1_3;
}

size_t tls_record_prefix_len(const struct tls_keys *k)
{
	return TLS_HEADER_LEN + explicit_len(k);
}

size_t tls_record_body_min(const struct tls_keys *k)
{
	return explicit_len(k) + TLS_TAG_LEN;
}

size_t tls_record_overhead(const struct tls_keys *k)
{
	return tls_record_body_min(k) + inner_len(k);
}

size_t tls_record_plain_max(const struct tls_keys *k, size_t body_len)
{
	size_t over = tls_record_overhead(k);

	return body_len > over ? body_len - over : 0;
}

/* The nonce of RFC 8446 section 5.3 and RFC 7905 section 2: iv XOR sequence number. */
static void xor_nonce(const struct tls_keys *k, uint64_t seq, uint8_t *nonce)
{
	memcpy(nonce, k->iv, TLS_NONCE_LEN);
	for (int i = TLS_NONCE_LEN - 1; i >= TLS_NONCE_LEN - 8; i--, seq >>= 8)
		nonce[i] ^= (uint8_t)seq;
}

static void make_aad(const struct tls_keys *k, uint64_t seq, uint8_t type, size_t plain_len,
		     struct tls_record *r)
{
	if (k->version == TLSULP_VERSION_1_3) {
		memcpy(r->aad, r->prefix, TLS_HEADER_LEN);
		r->aad_len = TLS_HEADER_LEN;
		return;
	}
	put_be64(r->aad, seq);
	r->aad[8] = type;
	put_be16(r->aad + 9, TLSULP_VERSION_1_2);
	put_be16(r->aad + 11, plain_len);
	r->aad_len = 13;
}

void tls_record_seal(const struct tls_keys *k, uint64_t ahead, uint8_t type, size_t plain_len,
		     struct tls_record *r)
{
	size_t exp = explicit_len(k);
	size_t body = plain_len + tls_record_overhead(k);

	r->inner_len = inner_len(k);
	r->inner_type = type;
	r->prefix[0] = r->inner_len ? TLSULP_DATA : type;
	put_be16(r->prefix + 1, TLSULP_VERSION_1_2);
	put_be16(r->prefix + 3, body);
	r->prefix_len = TLS_HEADER_LEN + exp;
	r->plain_len = plain_len;
	r->wire_len = TLS_HEADER_LEN + body;
	if (exp) {
		put_be64(r->prefix + TLS_HEADER_LEN, k->explicit_nonce + ahead);
		memcpy(r->nonce, k->iv, TLS_NONCE_LEN - exp);
		memcpy(r->nonce + TLS_NONCE_LEN - exp, r->prefix + TLS_HEADER_LEN, exp);
	} else {
		xor_nonce(k, k->seq + ahead, r->nonce);
	}
	make_aad(k, k->seq + ahead, type, plain_len, r);
}

void tls_record_open(const struct tls_keys *k, uint64_t ahead, const uint8_t header[TLS_HEADER_LEN],
		     const uint8_t *body, size_t body_len, struct tls_record *r)
{
	size_t exp = explicit_len(k);

	memcpy(r->prefix, header, TLS_HEADER_LEN);
	r->prefix_len = TLS_HEADER_LEN + exp;
	r->inner_len = 0;
	r->inner_type = header[0];
	r->plain_len = body_len - exp - TLS_TAG_LEN;
	r->wire_len = TLS_HEADER_LEN + body_len;
	if (exp) {
		memcpy(r->prefix + TLS_HEADER_LEN, body, exp);
		memcpy(r->nonce, k->iv, TLS_NONCE_LEN - exp);
		memcpy(r->nonce + TLS_NONCE_LEN - exp, body, exp);
	} else {
		xor_nonce(k, k->seq + ahead, r->nonce);
	}
	make_aad(k, k->seq + ahead, header[0], r->plain_len, r);
}

int tls_record_inner(const struct tls_keys *k, const uint8_t *plain, size_t len, uint8_t outer_type,
		     uint8_t *type, size_t *plain_len)
{
	if (k->version != TLSULP_VERSION_1_3) {
		*type = outer_type;
		*plain_len = len;
		return 0;
	}
	while (len && !plain[len - 1])
		len--;
	if (!len)
		return -EBADMSG;
	*type = plain[len - 1];
	*plain_len = len - 1;
	return 0;
}

int tls_record_header(const struct tls_keys *k, const uint8_t header[TLS_HEADER_LEN])
{
	size_t body = (size_t)header[3] << 8 | header[4];

	if (body > TLS_PAYLOAD_MAX + tls_record_overhead(k))
		return -EMSGSIZE;
	if (body < tls_record_body_min(k))
		return -EBADMSG;
	if (header[1] != 3 || header[2] != 3)
		return -EINVAL;
	return body;
}
