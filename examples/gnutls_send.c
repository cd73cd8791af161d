// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * send() right after a GnuTLS handshake: the program takes the keys out of the
 * session and gives them to the socket; from then on it needs no TLS library
 * to send.
 *
 *   openssl s_server -accept 4433 -cert c.pem -key k.pem
 *   tlsulp run -- build/examples/gnutls_send 4433
 *
 * connects to that port of 127.0.0.1, sends one line, and closes. The peer's
 * certificate is not verified: this is about the record layer.
 */
#include <gnutls/gnutls.h>

#include "common.h"

static void check_tls(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, gnutls_strerror(result));
	exit(1);
}

static int connect_to(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int sock = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_port = htons(port);
	check(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), "connect");
	return sock;
}

/*
 * AES-128-GCM of TLS 1.2 (RFC 5288) and 1.3: GnuTLS gives the 4-byte salt
 * alone, or with the 8 bytes that TLS 1.3 makes of the rest of its IV.
 */
static void set_tx_keys(gnutls_session_t session, int sock)
{
	struct tls12_crypto_info_aes_gcm_128 info = { 0 };
	gnutls_datum_t mac, iv, key;
	unsigned char seq[8];

	check_tls(gnutls_record_get_state(session, 0, &mac, &iv, &key, seq), "the session's keys");
	info.info.version = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3 ? TLS_1_3_VERSION
										  : TLS_1_2_VERSION;
	info.info.cipher_type = TLS_CIPHER_AES_GCM_128;
	memcpy(info.salt, iv.data, sizeof(info.salt));
	if (info.info.version == TLS_1_3_VERSION)
		memcpy(info.iv, iv.data + sizeof(info.salt), sizeof(info.iv));
	else
		memcpy(info.iv, seq, sizeof(info.iv));
	memcpy(info.key, key.data, sizeof(info.key));
	memcpy(info.rec_seq, seq, sizeof(info.rec_seq));

	check(setsockopt(sock, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	check(setsockopt(sock, SOL_TLS, TLS_TX, &info, sizeof(info)), "TLS_TX");
	explicit_bzero(&info, sizeof(info));
}

int main(int argc, char **argv)
{
	const char *line = "hello from send(), sealed by the TLS ULP\n";
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
	int sock;

	if (argc != 2) {
		fprintf(stderr, "usage: gnutls_send PORT\n");
		return 2;
	}
	sock = connect_to(atoi(argv[1]));
	check_tls(gnutls_certificate_allocate_credentials(&credentials), "credentials");
	check_tls(gnutls_init(&session, GNUTLS_CLIENT), "gnutls_init");
	check_tls(gnutls_priority_set_direct(session, "NORMAL:-CIPHER-ALL:+AES-128-GCM", NULL),
		  "priorities");
	check_tls(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials),
		  "credentials");
	gnutls_transport_set_int(session, sock);
	check_tls(gnutls_handshake(session), "the handshake");

	set_tx_keys(session, sock);
	check(send(sock, line, strlen(line), 0), "send");

	shutdown(sock, SHUT_WR);
	close(sock);
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(credentials);
	return 0;
}
