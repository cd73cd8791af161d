// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A server hands its live TLS connections to its new version and exits, and no
 * client notices:
 *
 *   handover CERT.pem KEY.pem FILE CONTROL [PORT]
 *
 * serves FILE by HTTPS on 127.0.0.1:PORT, whatever the request. Start it again
 * with the same CONTROL, the path of a UNIX socket: the new process gets each
 * connection, with how far its download is, and the listening socket, and the
 * old one ends. If a connection cannot go, the old one goes on with those that did not.
 * OpenSSL does the handshake and is not needed after it: the keys are the
 * socket's, so SCM_RIGHTS passes all there is. All run under tlsulp:
 *
 *   openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=localhost
 *   head -c 500M /dev/urandom >BIG
 *   tlsulp run -- build/examples/handover c.pem k.pem BIG control 8443 & sleep 1
 *   curl -k --limit-rate 10M https://127.0.0.1:8443/ -o copy & sleep 1
 *   tlsulp run -- build/examples/handover c.pem k.pem BIG control &
 *   wait %2; cmp BIG copy; kill %3
 */
#include "common.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONNECTIONS_MAX 1000
#define CHUNK (256 << 10)
#define ALERT 21

/* A download, and what its successor is told of it. */
struct download {
	off_t offset; /* of the file; -1: this is the listening socket */
	int sock;
};

static struct download downloads[CONNECTIONS_MAX];
static int count, file, listener = -1, control;
static off_t size;
static SSL_CTX *ctx;

static void listen_on_port(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int one = 1;

	addr.sin_port = htons(port);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	check(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "SO_REUSEADDR");
	check(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), "bind");
	check(listen(listener, 100), "listen");
	check(getsockname(listener, (struct sockaddr *)&addr, &len), "getsockname");
	printf("port %d\n", ntohs(addr.sin_port));
}

static struct sockaddr_un control_address(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	return addr;
}

/* ---- to the new version ---- */

static int pass(int peer, const struct download *d)
{
	char buffer[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)&d->offset, sizeof(d->offset) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buffer };
	struct cmsghdr *cmsg;

	msg.msg_controllen = sizeof(buffer);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &d->sock, sizeof(int));
	return sendmsg(peer, &msg, 0) == sizeof(d->offset);
}

/* The listening socket goes last: who has not got it has not taken over. */
static void hand_over(void)
{
	struct download all = { -1, listener };
	int peer = accept(control, NULL, NULL), passed = 0;

	check(peer, "accept");
	while (passed < count && pass(peer, &downloads[passed]))
		close(downloads[passed++].sock);
	if (passed == count && pass(peer, &all)) {
		printf("handed over %d connections\n", count);
		exit(0);
	}
	perror("the new version cannot take over, this one goes on");
	memmove(downloads, downloads + passed, (count - passed) * sizeof(downloads[0]));
	count -= passed;
	close(peer);
}

/* ---- from the old version ---- */

static int receive(int peer, struct download *d)
{
	char buffer[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &d->offset, sizeof(d->offset) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buffer };
	struct cmsghdr *cmsg;
	ssize_t n;

	msg.msg_controllen = sizeof(buffer);
	n = recvmsg(peer, &msg, 0);
	check(n, "recvmsg");
	cmsg = n ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return 0;
	memcpy(&d->sock, CMSG_DATA(cmsg), sizeof(int));
	return 1;
}

/* 0: there is no old version. */
static int take_over(const char *path)
{
	struct sockaddr_un addr = control_address(path);
	int peer = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct download d;

	if (connect(peer, (struct sockaddr *)&addr, sizeof(addr))) {
		close(peer);
		return 0;
	}
	while (count < CONNECTIONS_MAX && receive(peer, &d)) {
		if (d.offset < 0)
			listener = d.sock;
		else
			downloads[count++] = d;
	}
	close(peer);
	if (listener < 0) {
		fprintf(stderr, "the old version did not hand over: see its words\n");
		exit(1);
	}
	printf("took over %d connections\n", count);
	return 1;
}

/* ---- clients ---- */

static int answer(SSL *ssl)
{
	char text[4096];
	int n = 0, got;

	while (n < (int)sizeof(text) - 1) {
		got = SSL_read(ssl, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			return 0;
		text[n += got] = 0;
		if (strstr(text, "\r\n\r\n"))
			break;
	}
	n = snprintf(text, sizeof(text),
		     "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\nConnection: close\r\n\r\n",
		     (long long)size);
	return SSL_write(ssl, text, n) == n;
}

/* One handshake at a time: a real server would not wait for it. */
static void welcome(void)
{
	struct timeval patience = { 5, 0 };
	int sock = accept(listener, NULL, NULL);
	SSL *ssl = SSL_new(ctx);

	check(sock, "accept");
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (count == CONNECTIONS_MAX || !ssl || !SSL_set_fd(ssl, sock) || SSL_accept(ssl) != 1 ||
	    !answer(ssl)) {
		close(sock);
	} else if (!BIO_get_ktls_send(SSL_get_wbio(ssl))) {
		fprintf(stderr,
			"OpenSSL did not get the TLS ULP: run this under `tlsulp run --`.\n");
		exit(1);
	} else {
		fcntl(sock, F_SETFL, O_NONBLOCK);
		downloads[count++] = (struct download){ 0, sock };
	}
	SSL_free(ssl); /* the socket and its keys stay */
}

static void say_goodbye(int sock)
{
	char buffer[CMSG_SPACE(1)] = { 0 }, close_notify[2] = { 1, 0 };
	struct iovec iov = { close_notify, sizeof(close_notify) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buffer };
	struct cmsghdr *cmsg;

	msg.msg_controllen = sizeof(buffer);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(cmsg) = ALERT;
	sendmsg(sock, &msg, 0);
	close(sock);
}

/* 0: this download is over. */
static int go_on(struct download *d)
{
	ssize_t n = sendfile(d->sock, file, &d->offset, CHUNK);

	if (n < 0 && errno == EAGAIN)
		return 1;
	if (n > 0 && d->offset < size)
		return 1;
	if (n >= 0)
		say_goodbye(d->sock);
	else
		close(d->sock);
	return 0;
}

static void serve(void)
{
	for (;;) {
		struct pollfd p[CONNECTIONS_MAX + 2];

		p[0] = (struct pollfd){ control, POLLIN, 0 };
		p[1] = (struct pollfd){ listener, POLLIN, 0 };
		for (int i = 0; i < count; i++)
			p[i + 2] = (struct pollfd){ downloads[i].sock, POLLOUT, 0 };
		check(poll(p, count + 2, -1), "poll");
		if (p[0].revents)
			hand_over();
		for (int i = count - 1; i >= 0; i--)
			if (p[i + 2].revents && !go_on(&downloads[i]))
				downloads[i] = downloads[--count];
		if (p[1].revents)
			welcome();
	}
}

static void load_certificate(const char *cert, const char *key)
{
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		fprintf(stderr, "loading the certificate and its key failed\n");
		ERR_print_errors_fp(stderr);
		exit(1);
	}
	SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr;
	struct stat st;

	if (argc < 5) {
		fprintf(stderr, "usage: handover CERT.pem KEY.pem FILE CONTROL [PORT]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	load_certificate(argv[1], argv[2]);
	file = open(argv[3], O_RDONLY);
	check(file, argv[3]);
	check(fstat(file, &st), argv[3]);
	size = st.st_size;
	if (!take_over(argv[4]))
		listen_on_port(argc > 5 ? atoi(argv[5]) : 0);
	unlink(argv[4]);
	addr = control_address(argv[4]);
	control = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	check(bind(control, (struct sockaddr *)&addr, sizeof(addr)), argv[4]);
	check(listen(control, 1), argv[4]);
	serve();
}
