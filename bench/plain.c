// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plain TCP, and the ULP: the same calls, on a socket that has fixed keys. */
#define _GNU_SOURCE
#include "ends.h"
#include <dlfcn.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static const struct suite *suite;

static void plain_prepare(const struct plan *plan, bool server)
{
	suite = plan->suite;
}

static void plain_open(const struct plan *plan, struct end *end, bool server)
{
	shake_hands(end->fd, plan->tls, server);
}

static ssize_t plain_send(struct end *end, const void *from, size_t n)
{
	ssize_t done = send(end->fd, from, n, MSG_NOSIGNAL);

	NEED(done >= 0 || errno == EAGAIN);
	return done;
}

static ssize_t plain_recv(struct end *end, void *into, size_t n)
{
	ssize_t done = recv(end->fd, into, n, 0);

	NEED(done >= 0 || errno == EAGAIN);
	return done;
}

static const char *plain_version(void)
{
	return "Linux TCP";
}

/* All structs of linux/tls.h: version, cipher, IV, key, salt, record sequence (8 bytes). */
static void ulp_open(const struct plan *plan, struct end *end, bool server)
{
	struct tls_crypto_info head = { plan->tls == 12 ? TLS_1_2_VERSION : TLS_1_3_VERSION,
					suite->tls_number };
	unsigned char info[64] = { 0 };

	memcpy(info, pattern, suite->tls_size - 8);
	memcpy(info, &head, sizeof(head));
	shake_hands(end->fd, plan->tls, server);
	if (server && plan->raw)
		return;
	NEED(!setsockopt(end->fd, IPPROTO_TCP, TCP_ULP, "tls", 4));
	NEED(!setsockopt(end->fd, SOL_TLS, TLS_TX, info, suite->tls_size));
	NEED(!setsockopt(end->fd, SOL_TLS, TLS_RX, info, suite->tls_size));
}

static uint64_t ulp_records(const struct end *end)
{
	unsigned char info[64];
	socklen_t len = suite->tls_size;
	uint64_t records = 0;

	NEED(!getsockopt(end->fd, SOL_TLS, TLS_TX, info, &len) && len == suite->tls_size);
	for (int i = 8; i; i--)
		records = records << 8 | info[suite->tls_size - i];
	return records;
}

static const char *ulp_version(void)
{
	const char *(*version)(void);
	static char text[64];

	*(void **)&version = dlsym(RTLD_DEFAULT, "tlsulp_version");
	if (!version) {
		fprintf(stderr, "ends: run the contender tlsulp under 'tlsulp run'\n");
		exit(2);
	}
	snprintf(text, sizeof(text), "tlsulp %s", version());
	return text;
}

const struct layer layer_tcp = {
	.name = "tcp",
	.is_socket = true,
	.prepare = plain_prepare,
	.open = plain_open,
	.send = plain_send,
	.recv = plain_recv,
	.version = plain_version,
};

const struct layer layer_tlsulp = {
	.name = "tlsulp",
	.is_socket = true,
	.prepare = plain_prepare,
	.open = ulp_open,
	.send = plain_send,
	.recv = plain_recv,
	.records = ulp_records,
	.version = ulp_version,
};
