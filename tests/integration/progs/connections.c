// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * connections N [THREADS]: opens N connections in turn (in each of THREADS
 * threads), with keys both ways, MSG_MORE and short reads, and closes them with
 * a record left open.
 */
#include <pthread.h>

#include "examples/common.h"

static int count;

static void set_keys(int sock, int direction, int version)
{
	struct tls12_crypto_info_aes_gcm_128 info = { 0 };

	info.info.version = version;
	info.info.cipher_type = TLS_CIPHER_AES_GCM_128;
	check(setsockopt(sock, SOL_TLS, direction, &info, sizeof(info)), "keys");
}

static void talk(int from, int to)
{
	char out[3000], in[3000];
	size_t got = 0;

	memset(out, 'x', sizeof(out));
	check(send(from, out, 1000, MSG_MORE), "send");
	check(send(from, out + 1000, 2000, 0), "send");
	while (got < sizeof(in)) {
		ssize_t n = recv(to, in + got, 700, 0);

		check(n, "recv");
		got += n;
	}
	if (memcmp(in, out, sizeof(out)))
		exit(3);
}

static void one(int i)
{
	int version = i % 2 ? TLS_1_2_VERSION : TLS_1_3_VERSION;
	int a, b;

	connected_pair(&a, &b);
	check(setsockopt(a, SOL_TCP, TCP_ULP, "tls", 4), "TCP_ULP");
	check(setsockopt(b, SOL_TCP, TCP_ULP, "tls", 4), "TCP_ULP");
	set_keys(a, TLS_TX, version);
	set_keys(b, TLS_RX, version);
	set_keys(b, TLS_TX, version);
	set_keys(a, TLS_RX, version);
	talk(a, b);
	talk(b, a);
	check(send(a, "unsent", 6, MSG_MORE), "send");
	close(a);
	close(b);
}

static void *run(void *unused)
{
	for (int i = 0; i < count; i++)
		one(i);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 2 ? atoi(argv[2]) : 1;
	pthread_t t[16];

	count = argc > 1 ? atoi(argv[1]) : 1000;
	for (int i = 0; i < threads && i < 16; i++)
		pthread_create(&t[i], NULL, run, NULL);
	for (int i = 0; i < threads && i < 16; i++)
		pthread_join(t[i], NULL);
	return 0;
}
