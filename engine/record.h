/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One record on the wire: header, explicit nonce, nonce, additional data and
 * the inner content type (RFC 8446 section 5.2, 5.3; RFC 5246 section 6.2.3.3;
 * RFC 5288 section 3; RFC 7905 section 2).
 *
 *   TLS 1.2   header(5) explicit nonce(8 or 0) ciphertext(plain)        tag(16)
 *   TLS 1.3   header(5)                        ciphertext(plain, type)  tag(16)
 */
#ifndef TLSULP_ENGINE_RECORD_H
#define TLSULP_ENGINE_RECORD_H

#include "engine/cipher.h"

#define TLS_HEADER_LEN 5
#define TLS_PREFIX_MAX (TLS_HEADER_LEN + 8)
#define TLS_AAD_MAX 13
#define TLS_PAYLOAD_MAX 16384 /* 2^14, RFC 8446 section 5.1 */
/* Largest body a peer may send that the ULP opens: payload, inner type, explicit nonce, tag. */
#define TLS_BODY_MAX (TLS_PAYLOAD_MAX + 1 + 8 + TLS_TAG_LEN)
#define TLS_WIRE_MAX (TLS_HEADER_LEN + TLS_BODY_MAX)

/* The keys of one direction, with the position that they have reached. */
struct tls_keys {
	uint16_t version; /* 0: not set */
	uint16_t cipher;
	uint8_t key[TLS_KEY_MAX];
	uint8_t iv[TLS_NONCE_LEN]; /* salt, then iv */
	uint64_t seq; /* of the next record */
	uint64_t explicit_nonce; /* TLS 1.2 with an explicit nonce: of the next record sent */
};

/* With or without the lock of what they are in. */
static inline bool tls_keys_are_set(const struct tls_keys *k)
{
	return __atomic_load_n(&k->version, __ATOMIC_ACQUIRE) != 0;
}

/* How to seal or open one record. Lengths in bytes. */
struct tls_record {
	uint8_t prefix[TLS_PREFIX_MAX]; /* header and explicit nonce: sent as they are */
	uint8_t prefix_len;
	uint8_t nonce[TLS_NONCE_LEN];
	uint8_t aad[TLS_AAD_MAX];
	uint8_t aad_len;
	uint8_t inner_len; /* 1: the byte inner_type follows the plaintext under the seal */
	uint8_t inner_type;
	uint16_t plain_len; /* opening: of the ciphertext without tag; TLS 1.3: still with type and
			       padding */
	uint16_t wire_len; /* the whole record with header and tag */
};

/* Bytes that a body has beyond its payload: explicit nonce, tag, TLS 1.3 inner type. */
size_t tls_record_overhead(const struct tls_keys *k);

/* Bytes of a record before its ciphertext: header, explicit nonce. */
size_t tls_record_prefix_len(const struct tls_keys *k);

/*
 * The shortest body whose header is accepted: explicit nonce and tag. With TLS 1.3 no such
 * record is valid, as it lacks the inner type, but only opening it says so.
 */
size_t tls_record_body_min(const struct tls_keys *k);

/* Largest plaintext that a body of @body_len bytes can hold. */
size_t tls_record_plain_max(const struct tls_keys *k, size_t body_len);

/*
 * Plan the record that is @ahead records after the next one: type @type,
 * @plain_len (at most TLS_PAYLOAD_MAX) bytes of plaintext.
 */
void tls_record_seal(const struct tls_keys *k, uint64_t ahead, uint8_t type, size_t plain_len,
		     struct tls_record *r);

/*
 * Plan the opening of the record with this header that is @ahead records after
 * the next one; @body are at least the first 8 of its body_len bytes. The
 * ciphertext begins at body + r->prefix_len - TLS_HEADER_LEN.
 */
void tls_record_open(const struct tls_keys *k, uint64_t ahead, const uint8_t header[TLS_HEADER_LEN],
		     const uint8_t *body, size_t body_len, struct tls_record *r);

/*
 * The decrypted bytes of a record -> content type and plaintext length.
 * TLS 1.3: strips the zero padding and the inner type (RFC 8446 section 5.4).
 * Returns 0, or -EBADMSG if there is no content type in it.
 */
int tls_record_inner(const struct tls_keys *k, const uint8_t *plain, size_t len, uint8_t outer_type,
		     uint8_t *type, size_t *plain_len);

/*
 * Check a received header (RFC 8446 section 5.2). Returns the body's length,
 * -EMSGSIZE (over the limit), -EBADMSG (shorter than the overhead) or -EINVAL
 * (legacy_record_version is not 3.3), checked in this order.
 */
int tls_record_header(const struct tls_keys *k, const uint8_t header[TLS_HEADER_LEN]);

#endif
