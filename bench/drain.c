// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * drain http|https PORT PATH LENGTH TIMES: downloads without opening a record.
 * The handshake is OpenSSL's; then what is on the wire is read, so that the
 * client costs each server's contender the same. Prints a line of JSON.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 << 10)

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			perror(#what);                                                             \
			exit(2);                                                                   \
		}                                                                                  \
	} while (0)

#define HEADER 5
#define CLOSE_NOTIFY (2 + 1 + 16)

struct walk {
	size_t left; /* bytes of this record */
	int have; /* bytes of the next one's header */
	unsigned char header[HEADER];
};

static SSL_CTX *ctx;
static unsigned char buffer[BUFFER];

static double clock_of(clockid_t id)
{
	struct timespec t;

	CHECK(!clock_gettime(id, &t));
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int connect_to(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

static void ask(int fd, bool tls, const char *path)
{
	char request[512];
	int n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n",
			 path);
	SSL *ssl;

	if (!tls) {
		CHECK(write(fd, request, n) == n);
		return;
	}
	CHECK(ssl = SSL_new(ctx));
	CHECK(SSL_set_fd(ssl, fd) && SSL_connect(ssl) == 1 && SSL_write(ssl, request, n) == n);
	SSL_free(ssl);
}

/*
 * Walks over records by their headers. True after TLS 1.3's close_notify: the
 * only record with 2 bytes, a type and a tag. Some servers then wait for ours.
 */
static bool says_goodbye(struct walk *walk, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t step = walk->left < n - at ? walk->left : n - at;

		at += step;
		walk->left -= step;
		if (walk->left || at == n)
			continue;
		walk->header[walk->have++] = buffer[at++];
		if (walk->have < HEADER)
			continue;
		walk->have = 0;
		walk->left = walk->header[3] << 8 | walk->header[4];
		if (walk->left == CLOSE_NOTIFY)
			return true;
	}
	return false;
}

static long long download(int port, bool tls, const char *path)
{
	int fd = connect_to(port);
	struct walk walk = { .left = 0 };
	long long total = 0;
	ssize_t n;

	ask(fd, tls, path);
	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		total += n;
		if (tls && says_goodbye(&walk, n))
			break;
	}
	CHECK(n >= 0);
	close(fd);
	return total;
}

int main(int argc, char **argv)
{
	double cpu, wall;
	long long length, got = 0;
	bool tls;

	if (argc != 6) {
		fprintf(stderr, "Usage: drain http|https PORT PATH LENGTH TIMES\n");
		return 2;
	}
	tls = !strcmp(argv[1], "https");
	length = atoll(argv[4]);
	if (tls)
		CHECK(ctx = SSL_CTX_new(TLS_client_method()));
	memset(buffer, 1, sizeof(buffer));
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	wall = clock_of(CLOCK_MONOTONIC);
	for (int i = atoi(argv[5]); i; i--) {
		got = download(atoi(argv[2]), tls, argv[3]);
		if (got < length) {
			fprintf(stderr, "drain: %lld bytes came of %lld\n", got, length);
			return 2;
		}
	}
	printf("{\"client_cpu\": %.6f, \"wall\": %.6f, \"on_the_wire\": %lld}\n",
	       clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, clock_of(CLOCK_MONOTONIC) - wall, got);
	return 0;
}
