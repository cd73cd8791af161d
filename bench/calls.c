// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * calls plain|attach: nanoseconds of a call, as a line of JSON.
 *
 * plain: write() to /dev/null and read() of /dev/zero, a byte each, and what they take
 *     beyond libc's own: with the preload that is what it costs descriptors that are not
 *     TLS sockets, without it nothing.
 * attach: TCP_ULP, TLS_TX and TLS_RX on a connected socket, under the preload.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define BATCHES 101
#define CALLS 2000
#define SOCKETS 200

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			perror(#what);                                                             \
			exit(2);                                                                   \
		}                                                                                  \
	} while (0)

static double now(void)
{
	struct timespec t;

	CHECK(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The fastest tenth: what disturbed a batch made it slower, never faster. */
static double tenth(double *times, size_t n)
{
	qsort(times, n, sizeof(*times), by_value);
	return times[n / 10];
}

static double median(double *times, size_t n)
{
	qsort(times, n, sizeof(*times), by_value);
	return times[n / 2];
}

/* Nanoseconds a call. */
static double writes(ssize_t (*f)(int, const void *, size_t), int fd)
{
	double start = now();
	char c = 0;

	for (int i = 0; i < CALLS; i++)
		CHECK(f(fd, &c, 1) == 1);
	return (now() - start) / CALLS;
}

static double reads(ssize_t (*f)(int, void *, size_t), int fd)
{
	double start = now();
	char c;

	for (int i = 0; i < CALLS; i++)
		CHECK(f(fd, &c, 1) == 1);
	return (now() - start) / CALLS;
}

/*
 * The function that the program gets, and libc's own, batch by batch in one process: what they
 * differ by is a hundredth of the call, and less than two processes differ by.
 */
static void plain(void)
{
	int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	ssize_t (*libc_write)(int, const void *, size_t);
	ssize_t (*libc_read)(int, void *, size_t);
	double w[BATCHES], r[BATCHES], extra_w[BATCHES], extra_r[BATCHES];

	CHECK(null >= 0 && zero >= 0 && libc);
	CHECK(*(void **)&libc_write = dlsym(libc, "write"));
	CHECK(*(void **)&libc_read = dlsym(libc, "read"));
	for (int batch = 0; batch < BATCHES; batch++) {
		w[batch] = writes(write, null);
		extra_w[batch] = w[batch] - writes(libc_write, null);
		r[batch] = reads(read, zero);
		extra_r[batch] = r[batch] - reads(libc_read, zero);
	}
	printf("{\"write_ns\": %.2f, \"read_ns\": %.2f, ", tenth(w, BATCHES), tenth(r, BATCHES));
	printf("\"write_extra_ns\": %.2f, \"read_extra_ns\": %.2f}\n", median(extra_w, BATCHES),
	       median(extra_r, BATCHES));
}

static void attach(void)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 }, .key = "0123456789abcde"
	};
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	double ulp[SOCKETS], tx[SOCKETS], rx[SOCKETS], all[SOCKETS], at[4];
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 128));
	CHECK(!getsockname(listener, (struct sockaddr *)&addr, &len));
	for (int i = 0; i < SOCKETS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		CHECK(!connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
		CHECK(accept(listener, NULL, NULL) >= 0);
		at[0] = now();
		CHECK(!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4));
		at[1] = now();
		CHECK(!setsockopt(fd, SOL_TLS, TLS_TX, &info, sizeof(info)));
		at[2] = now();
		CHECK(!setsockopt(fd, SOL_TLS, TLS_RX, &info, sizeof(info)));
		at[3] = now();
		ulp[i] = at[1] - at[0];
		tx[i] = at[2] - at[1];
		rx[i] = at[3] - at[2];
		all[i] = at[3] - at[0];
	}
	printf("{\"first_ns\": %.0f, \"ulp_ns\": %.0f, \"tx_ns\": %.0f, \"rx_ns\": %.0f, ", all[0],
	       median(ulp, SOCKETS), median(tx, SOCKETS), median(rx, SOCKETS));
	printf("\"all_ns\": %.0f}\n", median(all, SOCKETS));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "plain"))
		plain();
	else if (argc == 2 && !strcmp(argv[1], "attach"))
		attach();
	else
		fprintf(stderr, "Usage: calls plain|attach: see the head of bench/calls.c\n");
	return argc != 2;
}
