/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A second opinion: AEADs straight from libcrypto, key structs written with the
 * layout of linux/tls.h, and records sealed and opened as the engine plans them.
 */
#ifndef TLSULP_TESTS_EVP_H
#define TLSULP_TESTS_EVP_H

#include "engine/options.h"

/* @out has room for @len + TLS_TAG_LEN bytes and may be @in. */
void evp_seal(uint16_t cipher, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
	      size_t aad_len, const uint8_t *in, size_t len, uint8_t *out);

/* @len bytes of ciphertext, then the tag. False: the tag is wrong. */
bool evp_open(uint16_t cipher, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
	      size_t aad_len, const uint8_t *in, size_t len, uint8_t *out);

/*
 * The cipher's struct of linux/tls.h. @nonce is salt then iv, 12 bytes (TLS 1.2
 * with an explicit nonce: the iv is where that starts). Returns its size.
 */
size_t info_make(uint8_t *info, uint16_t version, uint16_t cipher, const uint8_t *key,
		 const uint8_t nonce[TLS_NONCE_LEN], uint64_t seq);

/* sizeof() the cipher's struct of linux/tls.h; 0: there is none. */
size_t info_size(uint16_t cipher);

/* Keys as the engine reads them from such a struct. */
struct tls_keys keys_make(uint16_t version, uint16_t cipher, const uint8_t *key,
			  const uint8_t nonce[TLS_NONCE_LEN], uint64_t seq);

/* The same, of bytes that @seed chooses. */
struct tls_keys keys_seeded(uint16_t version, uint16_t cipher, uint32_t seed);

/* The record @ahead of @k's next one onto the wire; returns its length. */
size_t record_seal(const struct tls_keys *k, uint64_t ahead, uint8_t type, const uint8_t *plain,
		   size_t len, uint8_t *wire);

/* TLS 1.3: the same with @pad zero bytes after the inner type (RFC 8446 section 5.4). */
size_t record_seal_padded(const struct tls_keys *k, uint64_t ahead, uint8_t type,
			  const uint8_t *plain, size_t len, size_t pad, uint8_t *wire);

/* @inner as it is under the seal of a TLS 1.3 record. */
size_t record_seal_inner(const struct tls_keys *k, uint64_t ahead, const uint8_t *inner, size_t len,
			 uint8_t *wire);

/*
 * Open the whole record at @wire. Returns its length on the wire, -1 if the seal
 * is broken, or the engine's errno.
 */
int record_open(const struct tls_keys *k, uint64_t ahead, const uint8_t *wire, uint8_t *plain,
		size_t *len, uint8_t *type);

#endif
