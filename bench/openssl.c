// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OpenSSL's own record layer: the socket is its own, without SSL_OP_ENABLE_KTLS.
 * Buffers are kept, read-ahead is off as by default, there are no tickets.
 */
#include "ends.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *ctx;

#define SSL_NEED(what)                                                                             \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			ERR_print_errors_fp(stderr);                                               \
			give_up(#what);                                                            \
		}                                                                                  \
	} while (0)

static void ssl_prepare(const struct plan *plan, bool server)
{
	int version = plan->tls == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
	const char *name = plan->tls == 12 ? plan->suite->openssl12 : plan->suite->openssl13;

	SSL_NEED(name);
	SSL_NEED(ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
	SSL_NEED(SSL_CTX_set_min_proto_version(ctx, version));
	SSL_NEED(SSL_CTX_set_max_proto_version(ctx, version));
	SSL_NEED(plan->tls == 12 ? SSL_CTX_set_cipher_list(ctx, name)
				 : SSL_CTX_set_ciphersuites(ctx, name));
	SSL_NEED(SSL_CTX_set1_groups_list(ctx, "X25519:P-256"));
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (!server)
		return;
	SSL_NEED(SSL_CTX_use_certificate_file(ctx, plan->certificate, SSL_FILETYPE_PEM) == 1);
	SSL_NEED(SSL_CTX_use_PrivateKey_file(ctx, plan->certificate, SSL_FILETYPE_PEM) == 1);
}

static void ssl_open(const struct plan *plan, struct end *end, bool server)
{
	SSL *ssl = SSL_new(ctx);

	SSL_NEED(ssl && SSL_set_fd(ssl, end->fd));
	SSL_NEED((server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1);
	end->tls = ssl;
}

/* The end of the connection comes without a close_notify: it is an error of several kinds. */
static ssize_t outcome(struct end *end, int result)
{
	switch (SSL_get_error(end->tls, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SSL:
		if (ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
			break;
		ERR_clear_error();
		return 0;
	}
	ERR_print_errors_fp(stderr);
	give_up("an SSL call");
}

static ssize_t ssl_send(struct end *end, const void *from, size_t n)
{
	int done = SSL_write(end->tls, from, n);

	return done > 0 ? done : outcome(end, done);
}

static ssize_t ssl_recv(struct end *end, void *into, size_t n)
{
	int done = SSL_read(end->tls, into, n);

	return done > 0 ? done : outcome(end, done);
}

static bool ssl_pending(struct end *end)
{
	return SSL_pending(end->tls) > 0;
}

static const char *ssl_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

const struct layer layer_openssl = {
	.name = "openssl",
	.prepare = ssl_prepare,
	.open = ssl_open,
	.send = ssl_send,
	.recv = ssl_recv,
	.pending = ssl_pending,
	.version = ssl_version,
};
