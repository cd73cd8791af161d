// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Uses the library by its own names; prints the counters that prove it. */
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlsulp.h>

static void check(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static void set_key(int sock, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 info = { 0 };

	info.info.version = TLS_1_3_VERSION;
	info.info.cipher_type = TLS_CIPHER_AES_GCM_128;
	check(tlsulp_setsockopt(sock, IPPROTO_TCP, TCP_ULP, "tls", 4), "TCP_ULP");
	check(tlsulp_setsockopt(sock, 282, direction, &info, sizeof(info)), "keys");
}

int main(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), a = socket(AF_INET, SOCK_STREAM, 0), b;
	socklen_t len = sizeof(addr);
	char buffer[64] = { 0 };

	check(bind(listener, (struct sockaddr *)&addr, len), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&addr, &len), "getsockname");
	check(connect(a, (struct sockaddr *)&addr, len), "connect");
	b = accept(listener, NULL, NULL);
	set_key(a, TLS_TX);
	set_key(b, TLS_RX);
	check(tlsulp_send(a, "linked", 6, 0), "send");
	check(tlsulp_recv(b, buffer, sizeof(buffer), 0), "recv");
	printf("%s %s %lld %lld\n", tlsulp_version(), buffer, (long long)tlsulp_stat("TlsTxSw"),
	       (long long)tlsulp_stat("TlsRxSw"));
	tlsulp_close(a);
	tlsulp_close(b);
	return tlsulp_stat("no such counter") != -1;
}
