// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The shortest use of the TLS ULP: attach, set keys, send "hello world".
 * Exactly the calls of the kernel's document (Documentation/networking/tls.rst);
 * run it as `tlsulp run -- build/examples/hello`, or on a kernel that has the ULP.
 *
 * Both ends are in this program and the keys are made up: in a real one they
 * come from a TLS handshake (see openssl_sendfile.c and gnutls_send.c).
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

int main(void)
{
	struct tls12_crypto_info_aes_gcm_128 crypto_info = { 0 };
	const char *msg = "hello world\n";
	char buffer[16384];
	int sock, peer;
	ssize_t n;

	connected_pair(&sock, &peer);

	/* On both ends: the ULP first, once the socket is connected. */
	check(setsockopt(sock, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	check(setsockopt(peer, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");

	crypto_info.info.version = TLS_1_2_VERSION;
	crypto_info.info.cipher_type = TLS_CIPHER_AES_GCM_128;
	memset(crypto_info.iv, 1, sizeof(crypto_info.iv));
	memset(crypto_info.key, 2, sizeof(crypto_info.key));
	memset(crypto_info.salt, 3, sizeof(crypto_info.salt));

	check(setsockopt(sock, SOL_TLS, TLS_TX, &crypto_info, sizeof(crypto_info)), "TLS_TX");
	check(setsockopt(peer, SOL_TLS, TLS_RX, &crypto_info, sizeof(crypto_info)), "TLS_RX");

	check(send(sock, msg, strlen(msg), 0), "send");
	n = recv(peer, buffer, sizeof(buffer), 0);
	check(n, "recv");
	printf("%.*s", (int)n, buffer);

	close(sock);
	close(peer);
	return 0;
}
