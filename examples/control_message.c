// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Control records by cmsg, both ways: each end sends the other an alert
 * (close_notify, RFC 8446 section 6.1) after some data, and reads both.
 */
#include "common.h"

#define ALERT 21
#define DATA 23

static const unsigned char close_notify[2] = { 1, 0 };

static void set_keys(int sock, int direction, int whose)
{
	struct tls12_crypto_info_aes_gcm_256 info = { 0 };

	info.info.version = TLS_1_3_VERSION;
	info.info.cipher_type = TLS_CIPHER_AES_GCM_256;
	memset(info.key, whose, sizeof(info.key));
	check(setsockopt(sock, SOL_TLS, direction, &info, sizeof(info)), "keys");
}

static void send_record(int sock, unsigned char type, const void *data, size_t len)
{
	char control[CMSG_SPACE(sizeof(type))] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(type));
	*CMSG_DATA(cmsg) = type;
	msg.msg_controllen = cmsg->cmsg_len;
	check(sendmsg(sock, &msg, 0), "sendmsg");
}

/* One record type a call: returns the type, *@len is how much of @data was filled. */
static unsigned char receive_record(int sock, void *data, size_t *len)
{
	char control[CMSG_SPACE(sizeof(unsigned char))];
	struct iovec iov = { data, *len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	n = recvmsg(sock, &msg, 0);
	check(n, "recvmsg");
	*len = n;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_level != SOL_TLS || cmsg->cmsg_type != TLS_GET_RECORD_TYPE)
		return DATA;
	return *CMSG_DATA(cmsg);
}

static void expect(int sock, const char *who, unsigned char type, const void *data, size_t len)
{
	char buffer[256];
	size_t got = sizeof(buffer);
	unsigned char seen = receive_record(sock, buffer, &got);

	if (seen != type || got != len || memcmp(buffer, data, len)) {
		fprintf(stderr, "%s: record type %d with %zu bytes is not what was sent\n", who,
			seen, got);
		exit(1);
	}
	printf("%s got a record of type %d, %zu bytes\n", who, seen, got);
}

int main(void)
{
	int client, server;

	connected_pair(&client, &server);
	check(setsockopt(client, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	check(setsockopt(server, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	set_keys(client, TLS_TX, 'c');
	set_keys(server, TLS_RX, 'c');
	set_keys(server, TLS_TX, 's');
	set_keys(client, TLS_RX, 's');

	check(send(client, "ping", 4, 0), "send");
	send_record(client, ALERT, close_notify, sizeof(close_notify));
	expect(server, "server", DATA, "ping", 4);
	expect(server, "server", ALERT, close_notify, sizeof(close_notify));

	check(send(server, "pong", 4, 0), "send");
	send_record(server, ALERT, close_notify, sizeof(close_notify));
	expect(client, "client", DATA, "pong", 4);
	expect(client, "client", ALERT, close_notify, sizeof(close_notify));

	close(client);
	close(server);
	return 0;
}
