/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs of these tests share: connections to wire.py's peer. The
 * first byte on a connection is its tag, in plaintext, before the ULP: the peer
 * takes the keys from it. PLAIN never gets keys.
 */
#ifndef PRELOAD_PEER_H
#define PRELOAD_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define PLAIN 255

static int peer_port;

/* Standard error may be the socket under test: words go to a copy of the first one. */
static int words = 2;

__attribute__((format(printf, 1, 2), noreturn, unused)) static void die(const char *format, ...)
{
	char text[512];
	va_list args;
	int err = errno, n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 64, format, args);
	va_end(args);
	n += snprintf(text + n, 64, " (errno %d: %.40s)\n", err, strerror(err));
	syscall(SYS_write, words, text, n);
	syscall(SYS_exit_group, 99);
	__builtin_unreachable();
}

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			die("%s:%d: %s", __FILE__, __LINE__, #what);                               \
	} while (0)

__attribute__((unused)) static void peer_init(const char *port)
{
	peer_port = atoi(port);
	words = syscall(SYS_fcntl, 2, 1030 /* F_DUPFD_CLOEXEC */, 200);
}

__attribute__((unused)) static int peer_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	return fd;
}

__attribute__((unused)) static void peer_connect(int fd, uint8_t tag)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(peer_port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	CHECK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHECK(send(fd, &tag, 1, 0) == 1);
}

__attribute__((unused)) static int peer_plain(void)
{
	int fd = peer_socket();

	peer_connect(fd, PLAIN);
	return fd;
}

__attribute__((unused)) static void peer_attach(int fd)
{
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) == 0);
}

/* TLS 1.3, AES-128-GCM; wire.py's keys_of() makes the same. */
__attribute__((unused)) static void peer_key(int fd, uint8_t tag, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 info = { .info = { TLS_1_3_VERSION,
								TLS_CIPHER_AES_GCM_128 } };

	memset(info.key, direction == TLS_TX ? tag : tag ^ 0x80, sizeof(info.key));
	memset(info.salt, tag, sizeof(info.salt));
	memset(info.iv, 0x5a, sizeof(info.iv));
	CHECK(setsockopt(fd, SOL_TLS, direction, &info, sizeof(info)) == 0);
}

__attribute__((unused)) static void peer_keys(int fd, uint8_t tag)
{
	peer_attach(fd);
	peer_key(fd, tag, TLS_TX);
	peer_key(fd, tag, TLS_RX);
}

__attribute__((unused)) static int peer_tls(uint8_t tag)
{
	int fd = peer_socket();

	peer_connect(fd, tag);
	peer_keys(fd, tag);
	return fd;
}

__attribute__((unused)) static void say_str(int fd, const char *text)
{
	CHECK(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
}

/* Bytes that tell where in the stream they belong. */
__attribute__((unused)) static void fill(uint8_t *p, size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((at + i) * 7 + ((at + i) >> 8));
}

#endif
