// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/kernel_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/cipher.h"

static int listen_loopback(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)addr, len) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)addr, &len) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* A connected socket; its peer stays in the backlog of @listener. */
static int connect_loopback(int *listener)
{
	struct sockaddr_in addr;
	int fd;

	*listener = listen_loopback(&addr);
	if (*listener < 0)
		return *listener;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	close(*listener);
	return -ECONNREFUSED;
}

static int attach(int *listener)
{
	int fd = connect_loopback(listener);
	int err;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0)
		return fd;
	err = -errno;
	close(fd);
	close(*listener);
	return err;
}

static bool set_key(int fd, int direction, uint16_t version, const struct tls_cipher *c)
{
	uint8_t info[TLS_KEY_INFO_MAX] = { 0 };

	memcpy(info, &version, sizeof(version));
	memcpy(info + sizeof(version), &c->type, sizeof(c->type));
	return setsockopt(fd, SOL_TLS, direction, info, tls_cipher_info_len(c)) == 0;
}

static bool has_cipher(uint16_t version, const struct tls_cipher *c)
{
	int listener, fd = attach(&listener);
	bool ok;

	if (fd < 0)
		return false;
	ok = set_key(fd, TLSULP_TX, version, c) && set_key(fd, TLSULP_RX, version, c);
	close(fd);
	close(listener);
	return ok;
}

static bool set_int(int fd, int option, int value)
{
	return setsockopt(fd, SOL_TLS, option, &value, sizeof(value)) == 0;
}

static void probe_options(struct kernel_ulp *k)
{
	const struct tls_cipher *c = tls_cipher_find(TLSULP_AES_GCM_128);
	uint16_t payload = 1024;
	int listener, fd = attach(&listener);

	if (fd < 0)
		return;
	if (set_key(fd, TLSULP_TX, TLSULP_VERSION_1_3, c) &&
	    set_key(fd, TLSULP_RX, TLSULP_VERSION_1_3, c)) {
		k->zerocopy_ro = set_int(fd, TLSULP_TX_ZEROCOPY_RO, 1);
		k->no_pad = set_int(fd, TLSULP_RX_EXPECT_NO_PAD, 1);
		k->max_payload = setsockopt(fd, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &payload,
					    sizeof(payload)) == 0;
		k->key_update = set_key(fd, TLSULP_TX, TLSULP_VERSION_1_3, c);
	}
	close(fd);
	close(listener);
}

void kernel_probe(struct kernel_ulp *k)
{
	int listener, fd = attach(&listener);

	memset(k, 0, sizeof(*k));
	if (fd < 0) {
		k->error = fd;
		return;
	}
	close(fd);
	close(listener);
	for (int i = 0; i < PROBE_CIPHERS; i++) {
		const struct tls_cipher *c = tls_cipher_find(TLSULP_AES_GCM_128 + i);

		k->tls12[i] = has_cipher(TLSULP_VERSION_1_2, c);
		k->tls13[i] = has_cipher(TLSULP_VERSION_1_3, c);
	}
	probe_options(k);
}
