/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The cipher suites: sizes, and the layout of their structs in linux/tls.h.
 * All of them have a 12-byte nonce and a 16-byte tag.
 */
#ifndef TLSULP_ENGINE_CIPHER_H
#define TLSULP_ENGINE_CIPHER_H

#include "engine/uapi.h"

#define TLS_NONCE_LEN 12
#define TLS_TAG_LEN 16
#define TLS_SEQ_LEN 8
#define TLS_KEY_MAX 32
#define TLS_KEY_INFO_MAX 60 /* the longest struct of linux/tls.h, rounded up */

struct tls_cipher {
	uint16_t type; /* TLSULP_AES_GCM_128 ... */
	uint8_t key_len;
	uint8_t salt_len; /* salt and iv together make TLS_NONCE_LEN bytes */
	uint8_t iv_len;
	uint8_t explicit_len; /* nonce bytes sent in each TLS 1.2 record: RFC 5288 8, RFC 7905 0 */
	bool tls12, tls13;
	const char *name;
};

/* The cipher of that number, or NULL. */
const struct tls_cipher *tls_cipher_find(uint16_t type);

/* sizeof() the cipher's struct in linux/tls.h: version, type, iv, key, salt, rec_seq. */
size_t tls_cipher_info_len(const struct tls_cipher *c);

#endif
