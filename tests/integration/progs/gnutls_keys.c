// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A program on GnuTLS that takes its keys with gnutls_record_get_state() and hands them to the
 * TLS ULP.
 *
 *   gnutls_keys server PORT PRIORITIES FILE RECEIVE CERT KEY
 *   gnutls_keys client PORT PRIORITIES FILE RECEIVE
 *
 * After the handshake: the server first sends FILE with sendfile() and then copies RECEIVE bytes
 * to its standard output; the client does it the other way round and sends with send(). It keeps
 * the connection until its standard input ends, then sends close_notify by a control message.
 * Any other record than data is named on standard error.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#define BLOCK 300000
#define TYPE_ALERT 21
#define TYPE_DATA 23

union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	struct tls12_crypto_info_aes_ccm_128 ccm128;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static void check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, gnutls_strerror(result));
}

static int connect_or_accept(int is_server, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!is_server) {
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
			err(1, "connect");
		return fd;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 1))
		err(1, "listen");
	fd = accept(fd, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
	return fd;
}

static gnutls_session_t handshake(int is_server, int fd, const char *priorities, char **files)
{
	gnutls_certificate_credentials_t cred;
	gnutls_session_t session;
	int result;

	check(gnutls_certificate_allocate_credentials(&cred), "credentials");
	if (is_server)
		check(gnutls_certificate_set_x509_key_file(cred, files[0], files[1],
							   GNUTLS_X509_FMT_PEM),
		      "certificate");
	check(gnutls_init(&session, is_server ? GNUTLS_SERVER : GNUTLS_CLIENT), "init");
	check(gnutls_priority_set_direct(session, priorities, NULL), "priorities");
	check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, cred), "credentials");
	gnutls_transport_set_int(session, fd);
	do
		result = gnutls_handshake(session);
	while (result < 0 && !gnutls_error_is_fatal(result));
	check(result, "handshake");
	return session;
}

/* TLS 1.3 (and ChaCha20 in both) XORs the whole IV; else 4 bytes are salt and 8 go by wire. */
static void fill(uint8_t *salt, size_t salt_len, uint8_t *iv, size_t iv_len, uint8_t *seq,
		 const gnutls_datum_t *from, const uint8_t *seq_from, int explicit_nonce)
{
	memcpy(salt, from->data, salt_len);
	memcpy(iv, explicit_nonce ? seq_from : from->data + salt_len, iv_len);
	memcpy(seq, seq_from, 8);
}

#define FILL(member, cipher, has_salt)                                                             \
	do {                                                                                       \
		ci->info.cipher_type = cipher;                                                     \
		memcpy(ci->member.key, key.data, key.size);                                        \
		fill(salt, has_salt, ci->member.iv, sizeof(ci->member.iv), ci->member.rec_seq,     \
		     &iv, seq, has_salt && !is_13);                                                \
		len = sizeof(ci->member);                                                          \
	} while (0)

static socklen_t keys_of(gnutls_session_t session, int is_read, union crypto_info *ci)
{
	int is_13 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
	gnutls_datum_t mac, iv, key;
	uint8_t seq[8], salt[4];
	socklen_t len = 0;

	check(gnutls_record_get_state(session, is_read, &mac, &iv, &key, seq), "state");
	memset(ci, 0, sizeof(*ci));
	ci->info.version = is_13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	switch (gnutls_cipher_get(session)) {
	case GNUTLS_CIPHER_AES_128_GCM:
		FILL(gcm128, TLS_CIPHER_AES_GCM_128, 4);
		memcpy(ci->gcm128.salt, salt, 4);
		break;
	case GNUTLS_CIPHER_AES_256_GCM:
		FILL(gcm256, TLS_CIPHER_AES_GCM_256, 4);
		memcpy(ci->gcm256.salt, salt, 4);
		break;
	case GNUTLS_CIPHER_AES_128_CCM:
		FILL(ccm128, TLS_CIPHER_AES_CCM_128, 4);
		memcpy(ci->ccm128.salt, salt, 4);
		break;
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
		FILL(chacha, TLS_CIPHER_CHACHA20_POLY1305, 0);
		break;
	default:
		errx(1, "a cipher that this program does not know");
	}
	return len;
}

static void offload(gnutls_session_t session, int fd)
{
	union crypto_info ci;
	socklen_t len;

	if (gnutls_record_check_pending(session))
		errx(1, "GnuTLS read too far");
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		err(1, "TCP_ULP");
	len = keys_of(session, 0, &ci);
	if (setsockopt(fd, SOL_TLS, TLS_TX, &ci, len))
		err(1, "TLS_TX");
	len = keys_of(session, 1, &ci);
	if (setsockopt(fd, SOL_TLS, TLS_RX, &ci, len))
		err(1, "TLS_RX");
	explicit_bzero(&ci, sizeof(ci));
}

static void send_file(int fd, const char *path, int by_sendfile)
{
	static char block[BLOCK];
	int file = open(path, O_RDONLY);
	struct stat st;
	ssize_t n;

	if (file < 0 || fstat(file, &st))
		err(1, "%s", path);
	while (by_sendfile && st.st_size) {
		n = sendfile(fd, file, NULL, st.st_size);
		if (n <= 0)
			err(1, "sendfile");
		st.st_size -= n;
	}
	while (!by_sendfile && (n = read(file, block, sizeof(block))) > 0)
		if (send(fd, block, n, 0) != n)
			err(1, "send");
	close(file);
}

static void write_all(const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(1, p, n);

		if (done < 0)
			err(1, "write");
		p += done;
		n -= done;
	}
}

/* Session tickets and alerts come between the data: a control message says so. */
static ssize_t receive(int fd, char *block, size_t size)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8)));
	struct iovec iov = { block, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (n < 0)
		err(1, "recvmsg");
	if (!n)
		errx(1, "the peer ended");
	if (c && c->cmsg_level == SOL_TLS && *CMSG_DATA(c) != TYPE_DATA) {
		fprintf(stderr, "a record of type %d\n", *CMSG_DATA(c));
		return 0;
	}
	return n;
}

static void receive_all(int fd, size_t left)
{
	static char block[BLOCK];

	while (left) {
		ssize_t n = receive(fd, block, left < sizeof(block) ? left : sizeof(block));

		write_all(block, n);
		left -= n;
	}
}

static void send_close_notify(int fd)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8))) = { 0 };
	uint8_t alert[2] = { GNUTLS_AL_WARNING, GNUTLS_A_CLOSE_NOTIFY };
	struct iovec iov = { alert, sizeof(alert) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = TYPE_ALERT;
	if (sendmsg(fd, &msg, 0) != sizeof(alert))
		err(1, "close_notify");
}

int main(int argc, char **argv)
{
	int is_server = argc > 1 && !strcmp(argv[1], "server");
	gnutls_session_t session;
	char end;
	int fd;

	if (argc != (is_server ? 8 : 6))
		errx(1, "see the head of the source");
	fd = connect_or_accept(is_server, atoi(argv[2]));
	session = handshake(is_server, fd, argv[3], argv + 6);
	offload(session, fd);
	if (is_server)
		send_file(fd, argv[4], 1);
	receive_all(fd, strtoul(argv[5], NULL, 10));
	if (!is_server)
		send_file(fd, argv[4], 0);
	while (read(0, &end, 1) > 0)
		;
	send_close_notify(fd);
	shutdown(fd, SHUT_WR);
	gnutls_deinit(session);
	return 0;
}
