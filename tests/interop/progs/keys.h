/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record keys of a connection whose handshake OpenSSL has done, as the TLS
 * ULP wants them: derived here from the secrets (RFC 8446 section 7, RFC 5246
 * section 6.3), because OpenSSL gives them to nobody but its own records.
 */
#ifndef INTEROP_KEYS_H
#define INTEROP_KEYS_H

#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/socket.h>

enum { KEYS_CLIENT, KEYS_SERVER }; /* who sends with them */

#define CRYPTO_INFO_MAX 64

/* What setsockopt() takes for TLS_TX and TLS_RX. */
struct crypto_info {
	uint8_t bytes[CRYPTO_INFO_MAX];
	socklen_t len;
};

/* Before the handshake: the secrets of TLS 1.3 are told only while it runs. */
void keys_listen(SSL_CTX *ctx);

/* After the handshake. */
struct crypto_info keys_first(SSL *ssl, int sender);

/* TLS 1.3: those after one more KeyUpdate of @sender. */
struct crypto_info keys_next(SSL *ssl, int sender);

#endif
