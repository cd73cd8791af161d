// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * storm stress N: N processes at once, connections of every kind, left in every way
 * storm reset N: N connections that are reset with data under way
 * storm refuse: each call with its first, second, third ... allocation refused, as far as there
 *     is one; wants FAULT_INJECTION. Whatever the call said, all bytes have to arrive once.
 */
#include <errno.h>
#include <fcntl.h>
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
static int nth;

static void refuse_nth(int n)
{
	char word[16];
	int len = snprintf(word, sizeof(word), "%d", n);

	CHECK(pwrite(nth, word, len, 0) == len);
}

/* Was it refused, or did the call need no so many? From here on nothing is. */
static bool was_refused(void)
{
	char word[16] = "";

	CHECK(pread(nth, word, sizeof(word) - 1, 0) > 0);
	refuse_nth(0);
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

		set_all_keys(&p, version, TLSULP_AES_GCM_128);
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

		set_all_keys(&p, version, TLSULP_AES_GCM_128);
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
		has_key = has_ulp && !set_key(p.a, TLSULP_TX, version, TLSULP_AES_GCM_128, 0);
		refused = was_refused();
		CHECK(has_ulp || !ulp(p.a));
		CHECK(has_key || !set_key(p.a, TLSULP_TX, version, TLSULP_AES_GCM_128, 0));
		CHECK(!ulp(p.b) && !set_key(p.b, TLSULP_RX, version, TLSULP_AES_GCM_128, 0));
		rest_arrives(&p, 0, 0);
		pair_close(&p);
		if (!refused)
			return n - 1;
	}
}

/* An open record at close has to get out, unless there is no memory for it; no more than that. */
static int closing(uint16_t version)
{
	for (int n = 1;; n++) {
		struct pair p = pair_attached();
		bool refused;
		ssize_t have;

		set_all_keys(&p, version, TLSULP_AES_GCM_128);
		CHECK(send(p.a, text, 5000, MSG_MORE) == 5000);
		refuse_nth(n);
		close(p.a);
		refused = was_refused();
		have = recv(p.b, got, LEN, MSG_WAITALL);
		CHECK(have == 5000 || (refused && have <= 0));
		close(p.b);
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
	say("recv", version, receiving(one_recv, version));
	say("short recv", version, receiving(small_recvs, version));
	say("peek", version, receiving(one_peek, version));
	say("splice", version, receiving(one_splice, version));
	say("close", version, closing(version));
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
		CHECK(nth >= 0);
		refuse(V12);
		refuse(V13);
	} else
		return 2;
	return 0;
}
