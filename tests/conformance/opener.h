/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opens TLS records as a peer would, with libcrypto alone. Nothing of tlsulp's
 * code is used here, so that one mistake cannot hide another.
 */
#ifndef CONFORMANCE_OPENER_H
#define CONFORMANCE_OPENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER 5
#define RECORD_PLAIN_MAX 16384
#define RECORD_BODY_MAX (RECORD_PLAIN_MAX + 256)
#define NONCE_SIZE 12

struct suite;
struct evp_cipher_st;
struct evp_cipher_ctx_st;

struct opener {
	const struct suite *suite;
	bool tls13;
	uint8_t key[32];
	uint8_t fixed[NONCE_SIZE]; /* salt and IV */
	uint64_t seq; /* of the first record */
	struct evp_cipher_st *cipher;
	struct evp_cipher_ctx_st *ctx;
};

enum open_result {
	OPEN_OK,
	OPEN_BAD, /* does not authenticate */
	OPEN_SHORT, /* shorter than nonce, tag and content type */
	OPEN_LONG, /* more than 2^14 bytes of plaintext */
	OPEN_NO_TYPE, /* TLS 1.3: nothing but zeros inside, or an outer type that is not 23 */
};

/* crypto_info as given to setsockopt(). false: no such version, cipher (in libcrypto) or length. */
bool opener_init(struct opener *o, const uint8_t *crypto_info, size_t len);
void opener_free(struct opener *o);
const char *opener_name(const struct opener *o);

/* record: header and body. Gives the nonce that the record was sealed with. */
enum open_result opener_open(struct opener *o, uint64_t seq, const uint8_t *record, size_t len,
			     uint8_t nonce[NONCE_SIZE]);

#endif
