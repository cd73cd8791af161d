// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * storm stress N: N processes at once, connections of every kind, left in every way
 * storm reset N: N connections that are reset with data under way
 * storm refuse: each call with its first, second, third ... allocation refused, as far as there
 *     is one; wants FAULT_INJECTION. Whatever the call said, all bytes have to arrive once. Each
 *     has 30 s times $TEST_PATIENCE.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/pair.h"

#define V12 TLSULP_VERSION_1_2
#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define LEN 40000

static uint8_t text[LEN], got[LEN + 1];
static const uint16_t ciphers[] = { TLSULP_AES_GCM_128, TLSULP_AES_GCM_256, TLSULP_AES_CCM_128,
				    TLSULP_CHACHA20_POLY1305 };

static struct pair any_pair(int i)
{
	struct pair p = pair_attached();

	set_all_keys(&p, i % 2 ? V12 : V13, ciphers[i / 2 % 4]);
	return p;
}

static void reset(int fd)
{
	struct linger now = { 1, 0 };

	CHECK(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) && !close(fd));
}

static void resets(int count)
{
	for (int i = 0; i < count; i++) {
		struct pair p = any_pair(i);

		CHECK(send(p.a, text, LEN, MSG_DONTWAIT) > 0);
		CHECK(send(p.b, text, 100, i % 4 ? 0 : MSG_MORE) == 100);
		if (i % 3)
			CHECK(recv(p.b, got, i * 7 % LEN + 1, 0) > 0);
		if (i % 5 < 2) {
			CHECK(!close(p.a));
			reset(p.b);
		} else {
			reset(p.a);
			if (i % 5 == 3)
				recv(p.b, got, LEN, MSG_DONTWAIT);
			CHECK(!close(p.b));
		}
	}
}

static void stress_one(int seed)
{
	srand(seed);
	for (int i = 0; i < 60; i++) {
		struct pair p = any_pair(rand());

		for (int j = rand() % 12; j > 0; j--) {
			pass(p.a, p.b, rand() % 40000 + 1);
			pass_file(p.b, p.a, rand() % 40000 + 1);
		}
		if (rand() % 4) {
			pair_close(&p);
		} else {
			send(p.a, text, LEN, MSG_DONTWAIT);
			reset(rand() % 2 ? p.a : p.b);
		}
	}
}

static void stress(int count)
{
	int status;

	for (int i = 0; i < count; i++) {
		if (fork())
			continue;
		stress_one(i);
		resets(100);
		exit(0);
	}
	while (wait(&status) > 0)
		CHECK(!status);
}

/* ---- refused allocations ---- */

/* Open all the time: opening it would be refused, too. */
static int nth, tried;

static void write_nth(int n)
{
	char word[16];
	int len = snprintf(word, sizeof(word), "%d", n);

	CHECK(pwrite(nth, word, len, 0) == len);
}

static void hangs(int signal)
{
	(void)signal;
	fail("hangs after allocation %d was refused", tried);
}

static void refuse_nth(int n)
{
	const char *patience = getenv("TEST_PATIENCE");

	alarm(30 * (patience ? atoi(patience) : 1));
	tried = n;
	write_nth(n);
}

/* Was it refused, or did the call need no so many? From here on nothing is. */
static bool was_refused(void)
{
	char word[16] = "";

	CHECK(pread(nth, word, sizeof(word) - 1, 0) > 0);
	write_nth(0);
	return !atoi(word);
}

/* What a call does with the first bytes of @text, and how many of them were accepted. */
static ssize_t one_send(int fd)
{
	return send(fd, text, LEN, 0);
}

static ssize_t two_sends(int fd)
{
	ssize_t n = send(fd, text, 100, MSG_MORE), m = n > 0 ? send(fd, text + n, 20000, 0) : 0;

	return n + (m > 0 ? m : 0);
}

static int file, tube[2];

static ssize_t one_sendfile(int fd)
{
	off_t at = 0;

	return sendfile(fd, file, &at, LEN);
}

static ssize_t one_recv(int fd)
{
	return recv(fd, got, LEN, MSG_DONTWAIT);
}

static ssize_t small_recvs(int fd)
{
	ssize_t n = recv(fd, got, 1000, MSG_DONTWAIT), m;

	m = n > 0 ? recv(fd, got + n, 17000, MSG_DONTWAIT) : 0;
	return n + (m > 0 ? m : 0);
}

static ssize_t one_peek(int fd)
{
	recv(fd, got, LEN, MSG_DONTWAIT | MSG_PEEK);
	return 0;
}

static ssize_t one_splice(int fd)
{
	ssize_t n = splice(fd, NULL, tube[1], NULL, LEN, SPLICE_F_NONBLOCK);

	return n;
}

static void rest_arrives(const struct pair *p, size_t sent, size_t have)
{
	if (sent < LEN)
		CHECK(send(p->a, text + sent, LEN - sent, 0) == (ssize_t)(LEN - sent));
	while (have < LEN) {
		ssize_t n = recv(p->b, got + have, LEN - have, 0);

		if (n <= 0)
			fail("after %zu bytes recv gives %zd", have, n);
		have += n;
	}
	CHECK(!memcmp(got, text, LEN));
	CHECK(recv(p->b, got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static int sending(ssize_t (*call)(int), uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		ssize_t done;
		bool refused;

		set_all_keys(&p, version, GCM);
		refuse_nth(n);
		done = call(p.a);
		refused = was_refused();
		rest_arrives(&p, done > 0 ? done : 0, 0);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

static int receiving(ssize_t (*call)(int), uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		ssize_t done;
		bool refused;

		set_all_keys(&p, version, GCM);
		CHECK(send(p.a, text, LEN, 0) == LEN);
		refuse_nth(n);
		done = call(p.b);
		refused = was_refused();
		if (call == one_splice && done > 0)
			CHECK(read(tube[0], got, done) == done);
		rest_arrives(&p, LEN, done > 0 ? done : 0);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

/* What failed works when it is asked for again. */
static int attaching(uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_connect();
		bool refused, has_ulp, has_key;

		refuse_nth(n);
		has_ulp = !ulp(p.a);
		has_key = has_ulp && !set_key(p.a, TLSULP_TX, version, GCM, 0);
		refused = was_refused();
		CHECK(has_ulp || !ulp(p.a));
		CHECK(has_key || !set_key(p.a, TLSULP_TX, version, GCM, 0));
		CHECK(!ulp(p.b) && !set_key(p.b, TLSULP_RX, version, GCM, 0));
		rest_arrives(&p, 0, 0);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

/* The old key is in force until the new one is set, and an open record is the old one's. */
static int updating_tx(uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		ssize_t sent = 100;
		bool refused, updated;

		set_all_keys(&p, version, GCM);
		CHECK(send(p.a, text, sent, MSG_MORE) == sent);
		refuse_nth(n);
		updated = !set_key(p.a, TLSULP_TX, version, GCM, 1);
		CHECK(updated || errno == ENOMEM);
		refused = was_refused();
		if (!updated) {
			CHECK(send(p.a, text + sent, 50, 0) == 50);
			sent += 50;
			CHECK(!set_key(p.a, TLSULP_TX, version, GCM, 1));
		}
		CHECK(recv(p.b, got, sent, MSG_WAITALL) == sent);
		CHECK(!set_key(p.b, TLSULP_RX, version, GCM, 1));
		rest_arrives(&p, sent, sent);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

static int updating_rx(uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		ssize_t sent = 0;
		bool refused, updated;

		set_all_keys(&p, version, GCM);
		refuse_nth(n);
		updated = !set_key(p.b, TLSULP_RX, version, GCM, 1);
		CHECK(updated || errno == ENOMEM);
		refused = was_refused();
		if (!updated) {
			sent = 100;
			CHECK(send(p.a, text, sent, 0) == sent);
			CHECK(recv(p.b, got, sent, 0) == sent);
			CHECK(!set_key(p.b, TLSULP_RX, version, GCM, 1));
		}
		CHECK(!set_key(p.a, TLSULP_TX, version, GCM, 1));
		rest_arrives(&p, sent, sent);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

/* After a KeyUpdate nothing is read before the new key is set. */
static int updating_when_told(uint16_t version)
{
	static const uint8_t key_update[] = { 24, 0, 0, 1, 0 };

	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		bool refused, updated;
		int type;

		set_all_keys(&p, version, GCM);
		CHECK(send_typed(p.a, TLSULP_HANDSHAKE, key_update, sizeof(key_update)) > 0);
		CHECK(!set_key(p.a, TLSULP_TX, version, GCM, 1));
		CHECK(send(p.a, text, 100, 0) == 100);
		CHECK(recv_typed(p.b, got, LEN, &type, 0) == sizeof(key_update));
		refuse_nth(n);
		updated = !set_key(p.b, TLSULP_RX, version, GCM, 1);
		CHECK(updated || errno == ENOMEM);
		refused = was_refused();
		if (!updated) {
			CHECK_ERR(recv(p.b, got, LEN, MSG_DONTWAIT), EKEYEXPIRED);
			CHECK(!set_key(p.b, TLSULP_RX, version, GCM, 1));
		}
		rest_arrives(&p, 100, 0);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

/*
 * What was accepted arrives. It is the FIN that TCP forgets when its memory is refused: nobody
 * waits for it here, and the reset ends the socket that did not send it.
 */
static void all_arrives(const struct pair *p, ssize_t sent)
{
	static uint8_t all[1 << 20];

	CHECK(recv(p->b, all, sent, MSG_WAITALL) == sent);
	for (ssize_t i = 0; i < sent; i += LEN)
		CHECK(!memcmp(all + i, text, sent - i < LEN ? sent - i : LEN));
	reset(p->b);
}

static int end_by_close(int fd)
{
	return close(fd);
}

static int end_by_shutdown(int fd)
{
	return shutdown(fd, SHUT_WR);
}

/* The file ends before what was asked for, and so does the record: no call comes after this one. */
static int ending_with_the_file(uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		off_t at = LEN - 5000;
		bool refused;

		set_all_keys(&p, version, GCM);
		refuse_nth(n);
		sendfile(p.a, file, &at, 6000);
		refused = was_refused();
		if (at < LEN)
			CHECK(sendfile(p.a, file, &at, 6000) > 0 && at == LEN);
		CHECK(recv(p.b, got, 5000, MSG_WAITALL) == 5000);
		CHECK(!memcmp(got, text + LEN - 5000, 5000));
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

/* An open record, which the end sends. */
static int ending(int (*end)(int), uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		bool refused;

		set_all_keys(&p, version, GCM);
		CHECK(send(p.a, text, 5000, MSG_MORE) == 5000);
		refuse_nth(n);
		CHECK(!end(p.a));
		refused = was_refused();
		all_arrives(&p, 5000);
		if (end == end_by_shutdown)
			CHECK(!close(p.a));
		if (!refused)
			return n - 1;
	}
}

/* The socket is full: a part of a record waits in it for room. */
static int closing_full(uint16_t version)
{
	int small = 20000;

	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		ssize_t sent = 0, m;
		bool refused;

		set_all_keys(&p, version, GCM);
		CHECK(!setsockopt(p.a, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
		CHECK(!setsockopt(p.b, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
		while ((m = send(p.a, text + sent % LEN, LEN - sent % LEN, MSG_DONTWAIT)) > 0)
			sent += m;
		refuse_nth(n);
		CHECK(!close(p.a));
		refused = was_refused();
		all_arrives(&p, sent);
		if (!refused)
			return n - 1;
	}
}

static void say(const char *call, uint16_t version, int count)
{
	printf("%s, TLS %s: %d allocations refused\n", call, version == V12 ? "1.2" : "1.3", count);
	fflush(stdout);
}

static void refuse(uint16_t version)
{
	say("attach", version, attaching(version));
	say("send", version, sending(one_send, version));
	say("send with MSG_MORE", version, sending(two_sends, version));
	say("sendfile", version, sending(one_sendfile, version));
	say("sendfile past the end", version, ending_with_the_file(version));
	say("recv", version, receiving(one_recv, version));
	say("short recv", version, receiving(small_recvs, version));
	say("peek", version, receiving(one_peek, version));
	say("splice", version, receiving(one_splice, version));
	say("shutdown", version, ending(end_by_shutdown, version));
	say("close", version, ending(end_by_close, version));
	say("close of a full socket", version, closing_full(version));
	if (version == V12)
		return;
	say("TX key update", version, updating_tx(version));
	say("RX key update", version, updating_rx(version));
	say("RX key update after a KeyUpdate", version, updating_when_told(version));
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < LEN; i++)
		text[i] = i + i / 251;
	file = memfd_create("file", 0);
	CHECK(file >= 0 && write(file, text, LEN) == LEN && !pipe(tube));
	if (argc == 3 && !strcmp(argv[1], "stress"))
		stress(atoi(argv[2]));
	else if (argc == 3 && !strcmp(argv[1], "reset"))
		resets(atoi(argv[2]));
	else if (argc == 2 && !strcmp(argv[1], "refuse")) {
		nth = open("/proc/thread-self/fail-nth", O_RDWR);
		CHECK(nth >= 0 && signal(SIGALRM, hangs) != SIG_ERR);
		refuse(V12);
		refuse(V13);
	} else
		return 2;
	return 0;
}
