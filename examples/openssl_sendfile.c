// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A server that sends one file by SSL_sendfile(): OpenSSL does the handshake,
 * the TLS ULP the records.
 *
 *   tlsulp run -- build/examples/openssl_sendfile CERT.pem KEY.pem FILE [PORT]
 *
 * prints the port it listens on, serves one connection, and fails if OpenSSL
 * did not get the ULP. Try: openssl s_client -quiet -connect 127.0.0.1:PORT
 */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "common.h"

static void die(const char *what)
{
	fprintf(stderr, "%s failed\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL_CTX *make_context(const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		die("loading the certificate and its key");
	SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
	return ctx;
}

static int accept_one(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), sock;

	addr.sin_port = htons(port);
	check(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&addr, &len), "getsockname");
	printf("%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	sock = accept(listener, NULL, NULL);
	check(sock, "accept");
	close(listener);
	return sock;
}

static void send_whole_file(SSL *ssl, const char *path)
{
	int file = open(path, O_RDONLY);
	off_t offset = 0;
	struct stat st;

	check(file, path);
	check(fstat(file, &st), path);
	while (offset < st.st_size) {
		ossl_ssize_t n = SSL_sendfile(ssl, file, offset, st.st_size - offset, 0);

		if (n <= 0)
			die("SSL_sendfile");
		offset += n;
	}
	close(file);
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx;
	SSL *ssl;
	int sock;

	if (argc < 4) {
		fprintf(stderr, "usage: openssl_sendfile CERT.pem KEY.pem FILE [PORT]\n");
		return 2;
	}
	ctx = make_context(argv[1], argv[2]);
	sock = accept_one(argc > 4 ? atoi(argv[4]) : 0);
	ssl = SSL_new(ctx);
	if (!ssl || !SSL_set_fd(ssl, sock) || SSL_accept(ssl) != 1)
		die("the handshake");
	if (!BIO_get_ktls_send(SSL_get_wbio(ssl))) {
		fprintf(stderr,
			"OpenSSL did not get the TLS ULP: run this under `tlsulp run --`.\n");
		return 1;
	}
	send_whole_file(ssl, argv[3]);
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(sock);
	SSL_CTX_free(ctx);
	return 0;
}
