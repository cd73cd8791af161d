// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An end whose records are the TLS ULP's, in both directions: OpenSSL does the
 * handshake and is not asked again.
 */
#include "peer.h"

#include <err.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "keys.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#define TYPE_ALERT 21
#define TYPE_HANDSHAKE 22
#define TYPE_DATA 23
#define KEY_UPDATE 24 /* RFC 8446 section 4.6.3 */
#define BLOCK 300000

static SSL *ssl;
static int fd, us, them;
static struct peer_seen seen;
static uint8_t block[BLOCK]; /* what was received last */
static size_t held, taken; /* data in it that nobody has had, and that somebody has */

static void check(int ok, const char *what)
{
	if (ok == 1)
		return;
	ERR_print_errors_fp(stderr);
	errx(1, "%s", what);
}

static SSL_CTX *make_ctx(const struct peer_setup *setup)
{
	SSL_CTX *ctx = SSL_CTX_new(setup->is_server ? TLS_server_method() : TLS_client_method());
	int version = setup->is_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	/* Tickets would be records before ours. */
	SSL_CTX_set_num_tickets(ctx, 0);
	if (setup->is_tls13)
		check(SSL_CTX_set_ciphersuites(ctx, setup->ciphers), setup->ciphers);
	else
		check(SSL_CTX_set_cipher_list(ctx, setup->ciphers), setup->ciphers);
	if (setup->is_server) {
		check(SSL_CTX_use_certificate_chain_file(ctx, setup->cert), setup->cert);
		check(SSL_CTX_use_PrivateKey_file(ctx, setup->key, SSL_FILETYPE_PEM), setup->key);
	}
	keys_listen(ctx);
	return ctx;
}

static void set_keys(int direction, struct crypto_info info)
{
	if (setsockopt(fd, SOL_TLS, direction, info.bytes, info.len))
		err(1, direction == TLS_TX ? "TLS_TX" : "TLS_RX");
}

void peer_open(const struct peer_setup *setup)
{
	fd = setup->fd;
	us = setup->is_server ? KEYS_SERVER : KEYS_CLIENT;
	them = setup->is_server ? KEYS_CLIENT : KEYS_SERVER;
	ssl = SSL_new(make_ctx(setup));
	SSL_set_fd(ssl, fd);
	check(setup->is_server ? SSL_accept(ssl) : SSL_connect(ssl), "handshake");
	if (SSL_has_pending(ssl))
		errx(1, "OpenSSL read too far");
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		err(1, "TCP_ULP");
	set_keys(TLS_TX, keys_first(ssl, us));
	set_keys(TLS_RX, keys_first(ssl, them));
}

void peer_send(const void *data, size_t len)
{
	if (send(fd, data, len, 0) != (ssize_t)len)
		err(1, "send");
}

static void send_control(uint8_t type, const void *data, size_t len)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = type;
	if (sendmsg(fd, &msg, 0) != (ssize_t)len)
		err(1, "sendmsg of type %d", type);
}

void peer_update(bool request)
{
	const uint8_t message[] = { KEY_UPDATE, 0, 0, 1, request };

	send_control(TYPE_HANDSHAKE, message, sizeof(message));
	set_keys(TLS_TX, keys_next(ssl, us));
}

/* The old key is of no use any more, and reads and poll() say so. */
static void expect_pause(void)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	for (int flags = 0;; flags = MSG_DONTWAIT) {
		if (recv(fd, &byte, 1, flags) != -1 || errno != EKEYEXPIRED)
			errx(1, "a read before the new key is not refused");
		if (flags)
			break;
	}
	if (poll(&p, 1, 0))
		errx(1, "readable before the new key");
}

static void on_handshake(const uint8_t *message, size_t len)
{
	if (message[0] != KEY_UPDATE) {
		seen.tickets++;
		return;
	}
	if (len != 5)
		errx(1, "a KeyUpdate of %zu bytes", len);
	seen.updates++;
	expect_pause();
	set_keys(TLS_RX, keys_next(ssl, them));
	if (message[4])
		peer_update(false);
}

/* As many data records as are there, or one record of another type. */
static size_t receive(uint8_t *type)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8)));
	struct iovec iov = { block, sizeof(block) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (n < 0)
		err(1, "recvmsg");
	if (n == 0)
		errx(1, "the peer ended without close_notify");
	if (!c || c->cmsg_level != SOL_TLS || c->cmsg_type != TLS_GET_RECORD_TYPE)
		errx(1, "a record without a type");
	*type = *CMSG_DATA(c);
	return n;
}

size_t peer_receive(void *data, size_t size)
{
	while (!held) {
		uint8_t type;
		size_t n = receive(&type);

		if (type == TYPE_DATA)
			held = n, taken = 0;
		else if (type == TYPE_HANDSHAKE)
			on_handshake(block, n);
		else if (type == TYPE_ALERT && n == 2 && block[1] == SSL3_AD_CLOSE_NOTIFY)
			return 0;
		else
			errx(1, "a record of type %d", type);
	}
	if (size > held)
		size = held;
	memcpy(data, block + taken, size);
	taken += size;
	held -= size;
	return size;
}

void peer_close(void)
{
	static const uint8_t alert[] = { SSL3_AL_WARNING, SSL3_AD_CLOSE_NOTIFY };

	send_control(TYPE_ALERT, alert, sizeof(alert));
	if (shutdown(fd, SHUT_WR))
		err(1, "shutdown");
}

struct peer_seen peer_seen(void)
{
	return seen;
}
