// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A peer that resets, half-closes or stalls: each call answers as on a plain TCP socket. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LEN 100
#define LOG_MAX 4096

static uint8_t text[1 << 16], wire[TLS_WIRE_MAX];

/* One end of a connection under test, and its peer, who writes raw bytes. */
struct side {
	int fd, peer;
	bool tls;
	struct tls_keys k;
	pthread_t late;
	char log[LOG_MAX];
};

static void note(struct side *s, const char *what, ssize_t got)
{
	size_t n = strlen(s->log);

	snprintf(s->log + n, LOG_MAX - n, "%s=%zd%s%s ", what, got, got < 0 ? " " : "",
		 got < 0 ? strerror(errno) : "");
}

static void open_side(struct side *s, bool tls, uint16_t version)
{
	int fd[2];

	memset(s, 0, sizeof(*s));
	home_connect(fd);
	s->peer = fd[0];
	s->fd = fd[1];
	s->tls = tls;
	if (!tls)
		return;
	home_attach(s->fd);
	home_set_keys(s->fd, TLSULP_TX, version, TLSULP_AES_GCM_128, 2);
	home_set_keys(s->fd, TLSULP_RX, version, TLSULP_AES_GCM_128, 1);
	s->k = keys_seeded(version, TLSULP_AES_GCM_128, 1);
}

/* ---- what the peer does ---- */

static void peer_says(struct side *s)
{
	if (!s->tls) {
		raw_write(s->peer, text, LEN);
		return;
	}
	raw_write(s->peer, wire, record_seal(&s->k, 0, TLSULP_DATA, text, LEN, wire));
	s->k.seq++;
	s->k.explicit_nonce++;
}

static void settle(void)
{
	usleep(20000); /* a RST or FIN over loopback is there long before */
}

static void peer_half_closes(struct side *s)
{
	shutdown(s->peer, SHUT_WR);
	settle();
}

static void peer_resets(struct side *s)
{
	struct linger abort_it = { 1, 0 };

	setsockopt(s->peer, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	close(s->peer);
	s->peer = -1;
	settle();
}

static void peer_closes(struct side *s)
{
	close(s->peer);
	s->peer = -1;
	settle();
}

static void *resets_late(void *side)
{
	settle();
	peer_resets(side);
	return NULL;
}

/* While the program sleeps in its next call. */
static void peer_resets_late(struct side *s)
{
	assert_int_equal(pthread_create(&s->late, NULL, resets_late, s), 0);
}

static void peer_is_late(struct side *s)
{
	assert_int_equal(pthread_join(s->late, NULL), 0);
}

/* ---- what the program does ---- */

static void do_recv(struct side *s)
{
	uint8_t room[2 * LEN];

	note(s, "recv", tlsulp_recv(s->fd, room, sizeof(room), 0));
}

static void do_peek(struct side *s)
{
	uint8_t room[2 * LEN];

	note(s, "peek", tlsulp_recv(s->fd, room, sizeof(room), MSG_PEEK));
}

static void do_recv_all(struct side *s)
{
	uint8_t room[2 * LEN];

	note(s, "recv all", tlsulp_recv(s->fd, room, sizeof(room), MSG_WAITALL));
}

static void do_recv_now(struct side *s)
{
	uint8_t room[2 * LEN];

	note(s, "recv now", tlsulp_recv(s->fd, room, sizeof(room), MSG_DONTWAIT));
}

static void do_send(struct side *s)
{
	note(s, "send", tlsulp_send(s->fd, text, LEN, MSG_NOSIGNAL));
	settle();
}

static void do_poll(struct side *s)
{
	struct pollfd p = { s->fd, POLLIN | POLLOUT | POLLRDHUP, 0 };

	tlsulp_poll(&p, 1, 0);
	note(s, "poll", p.revents);
}

static void do_error(struct side *s)
{
	int err = 0;
	socklen_t len = sizeof(err);

	tlsulp_getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	note(s, "SO_ERROR", err);
}

static void do_shutdown(struct side *s)
{
	note(s, "shutdown", tlsulp_shutdown(s->fd, SHUT_WR));
}

static void set_timeouts(struct side *s)
{
	struct timeval tv = { 0, 50000 };

	tlsulp_setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	tlsulp_setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* Until the socket has taken nothing for a while: how much that was differs. */
static void do_fill(struct side *s)
{
	for (int full = 0; full < 30; full++) {
		while (tlsulp_send(s->fd, text, sizeof(text), MSG_DONTWAIT) > 0)
			full = 0;
		usleep(10000);
	}
	note(s, "send now", tlsulp_send(s->fd, text, LEN, MSG_DONTWAIT));
}

static void do_fill_nonblock(struct side *s)
{
	fcntl(s->fd, F_SETFL, O_NONBLOCK);
	do_fill(s);
	do_recv(s);
}

typedef void (*step)(struct side *s);

static const struct {
	const char *name;
	step steps[10];
} stories[] = {
	{ "half-close",
	  { peer_half_closes, do_poll, do_peek, do_recv, do_recv, do_send, do_send } },
	{ "data, half-close",
	  { peer_says, peer_half_closes, do_poll, do_peek, do_recv, do_recv, do_send } },
	{ "data, half-close, all", { peer_says, peer_half_closes, do_recv_all, do_recv_all } },
	{ "half-close, ours too", { peer_half_closes, do_shutdown, do_send, do_recv, do_poll } },
	{ "reset, recv", { peer_resets, do_recv, do_recv, do_send, do_send } },
	{ "reset, peek", { peer_resets, do_peek, do_recv, do_recv } },
	{ "reset, send", { peer_resets, do_send, do_send, do_recv, do_recv } },
	{ "reset, poll", { peer_resets, do_poll, do_error, do_recv, do_send, do_poll } },
	{ "data, reset", { peer_says, peer_resets, do_recv, do_recv, do_recv, do_send } },
	{ "data, reset, all", { peer_says, peer_resets, do_recv_all, do_recv, do_recv } },
	{ "data, all, reset",
	  { peer_says, peer_resets_late, do_recv_all, peer_is_late, do_recv, do_recv, do_send } },
	{ "all, reset", { peer_resets_late, do_recv_all, peer_is_late, do_recv, do_send } },
	{ "close, send", { peer_closes, do_send, do_send, do_send, do_recv, do_recv } },
	{ "data, close", { peer_says, peer_closes, do_recv, do_recv, do_send, do_send } },
	{ "stall, timeouts", { set_timeouts, do_recv, do_recv_now, do_fill, do_send, do_poll } },
	{ "stall, nonblocking", { do_recv_now, do_fill_nonblock, do_recv_now, do_poll } },
	{ "stall, reset", { do_fill, peer_resets, do_send, do_send, do_recv } },
	{ "stall, reset, recv", { do_fill, peer_resets, do_recv, do_recv, do_send } },
};

static void tell(size_t i, struct side *s, bool tls, uint16_t version)
{
	open_side(s, tls, version);
	for (const step *p = stories[i].steps; *p; p++)
		(*p)(s);
	tlsulp_close(s->fd);
	if (s->peer >= 0)
		close(s->peer);
}

static void as_plain_tcp(uint16_t version)
{
	static struct side plain, tls;

	for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
		tell(i, &plain, false, version);
		tell(i, &tls, true, version);
		if (strcmp(plain.log, tls.log))
			print_error("%s:\n  TCP %s\n  TLS %s\n", stories[i].name, plain.log,
				    tls.log);
		assert_string_equal(tls.log, plain.log);
	}
}

static void test_as_plain_tcp_12(void **state)
{
	as_plain_tcp(TLSULP_VERSION_1_2);
}

static void test_as_plain_tcp_13(void **state)
{
	as_plain_tcp(TLSULP_VERSION_1_3);
}

static int setup(void **state)
{
	home_start();
	fill_pattern(text, sizeof(text), 5);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_plain_tcp_12),
		cmocka_unit_test(test_as_plain_tcp_13),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
