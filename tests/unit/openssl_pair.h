/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * OpenSSL's own client and server, after their handshake, joined by memory; and
 * the record keys of both, derived here from their secrets (RFC 8446 section
 * 7.3, RFC 5246 section 6.3).
 */
#ifndef TLSULP_TESTS_OPENSSL_PAIR_H
#define TLSULP_TESTS_OPENSSL_PAIR_H

#include <openssl/ssl.h>

#include "engine/record.h"

#define SECRET_MAX 48

struct openssl_pair {
	SSL_CTX *client_ctx, *server_ctx;
	SSL *client, *server;
	BIO *to_client, *to_server; /* what was written and not yet read */
	const char *digest;
	size_t secret_len;
	uint8_t client_secret[SECRET_MAX], server_secret[SECRET_MAX]; /* TLS 1.3 */
	struct tls_keys client_keys, server_keys; /* for the next record that each sends */
};

struct openssl_suite {
	uint16_t version, cipher;
	const char *name, *digest;
	size_t secret_len;
};

extern const struct openssl_suite openssl_suites[8];

/* With TLS 1.3 the server's records are padded to a multiple of @pad_to bytes, unless 0. */
void openssl_pair_open(struct openssl_pair *p, const struct openssl_suite *s, size_t pad_to);
void openssl_pair_close(struct openssl_pair *p);

/* TLS 1.3: move @secret and @keys on by one key update (RFC 8446 section 7.2). */
void openssl_pair_update(const struct openssl_pair *p, uint8_t *secret, struct tls_keys *keys);

#endif
