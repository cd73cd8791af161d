/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One end of one TLS connection, as talk.c drives it. ulp.c has the handshake
 * of OpenSSL and then plain socket calls on the TLS ULP; gnutls.c is GnuTLS
 * throughout. Whatever fails ends the program with a word on standard error.
 */
#ifndef INTEROP_PEER_H
#define INTEROP_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct peer_setup {
	int fd; /* connected */
	bool is_server;
	bool is_tls13; /* else TLS 1.2 */
	const char *ciphers; /* as the library writes them: OpenSSL's names, GnuTLS's priorities */
	const char *cert, *key; /* a server's files */
};

/* What came between the data. GnuTLS keeps it to itself. */
struct peer_seen {
	unsigned int updates; /* KeyUpdate messages */
	unsigned int tickets; /* other handshake messages */
};

void peer_open(const struct peer_setup *setup);
void peer_send(const void *data, size_t len);

/* Data, up to @size bytes of it; 0 at the peer's close_notify. Answers a KeyUpdate. */
size_t peer_receive(void *data, size_t size);

/* Send with the next key from now on; if @request, ask the peer to do the same. */
void peer_update(bool request);

/* close_notify, and nothing more after it. */
void peer_close(void);

struct peer_seen peer_seen(void);

#endif
