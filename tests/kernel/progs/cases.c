// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What bad things get, and the published flaws of the in-tree ULP as a check-list: each case a
 * process of its own, with 120 s times $TEST_PATIENCE. Whether the kernel bore it well, its log and
 * the counters tell afterwards. "cases NAME..." runs these alone.
 *
 * Two are tested by the kernel's own suite, and not here: CVE-2025-39682, empty records (its
 * zero_len), and CVE-2025-38616, data that is read past the ULP (its data_steal).
 *
 * Some are flaws only where the AEAD calls back later: the job "async" runs all of this with such
 * ones. They are CVE-2024-26582, records read in part, CVE-2024-26583, close meanwhile,
 * CVE-2024-26584, a full queue, and CVE-2024-26800, a record from it that does not open.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/pair.h"

#define V12 TLSULP_VERSION_1_2
#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define RECORD_MAX (16384 + 256)

static void reset(int fd)
{
	struct linger now = { 1, 0 };

	CHECK(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) && !close(fd));
}

/* A connection whose end b has a key to receive with, and a is plain TCP. */
static struct pair receiver(uint16_t version)
{
	struct pair p = pair_attached();

	CHECK(!set_key(p.b, TLSULP_RX, version, GCM, 0));
	return p;
}

static struct pair sender(uint16_t version)
{
	struct pair p = pair_attached();

	CHECK(!set_key(p.a, TLSULP_TX, version, GCM, 0));
	return p;
}

/* @count records of the key that receiver() has, with @len bytes of text each, one after another.
 */
static size_t make_records(uint16_t version, uint8_t *to, int count, size_t len, uint8_t type)
{
	static uint8_t text[RECORD_MAX];
	struct pair p = sender(version);
	size_t have = 0;
	ssize_t n;

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < count; i++)
		CHECK(send_typed(p.a, type, text, len) == (ssize_t)len);
	CHECK(!shutdown(p.a, SHUT_WR));
	while ((n = recv(p.b, to + have, 4 * RECORD_MAX, 0)) > 0)
		have += n;
	CHECK(!n);
	pair_close(&p);
	return have;
}

static uint8_t wire[64 * RECORD_MAX], got[4 * RECORD_MAX];

/* ---- peers that go away ---- */

static void reset_in_mid_record(void)
{
	for (size_t cut = 1; cut < 2000; cut += 37) {
		struct pair p = receiver(cut % 2 ? V12 : V13);
		size_t len = make_records(cut % 2 ? V12 : V13, wire, 1, 2000, TLSULP_DATA);

		CHECK(send(p.a, wire, cut, 0) == (ssize_t)cut && cut < len);
		CHECK(cut % 3 || recv(p.b, got, 100, MSG_DONTWAIT) == -1);
		reset(p.a);
		CHECK_ERR(recv(p.b, got, sizeof(got), 0), ECONNRESET);
		CHECK(!close(p.b));
	}
}

static void end_in_mid_record(void)
{
	for (size_t cut = 1; cut < 2000; cut += 37) {
		struct pair p = receiver(V13);
		ssize_t n;

		make_records(V13, wire, 1, 2000, TLSULP_DATA);
		CHECK(send(p.a, wire, cut, 0) == (ssize_t)cut && !close(p.a));
		n = recv(p.b, got, sizeof(got), 0);
		CHECK(n <= 0);
		CHECK(!close(p.b));
	}
}

static void reset_while_sending(void)
{
	for (int i = 0; i < 40; i++) {
		struct pair p = sender(V13);
		ssize_t n;

		while ((n = send(p.a, wire, 100000, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
			;
		CHECK(errno == EAGAIN);
		reset(p.b);
		CHECK(send(p.a, wire, 100000, MSG_NOSIGNAL) == -1);
		CHECK(errno == ECONNRESET || errno == EPIPE);
		CHECK(!close(p.a));
	}
}

/* ---- closed and killed while it works: CVE-2024-26583, CVE-2024-26585 ---- */

static void *send_for_ever(void *fd)
{
	while (send(*(int *)fd, wire, 300000, MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void *recv_for_ever(void *fd)
{
	while (recv(*(int *)fd, got, 5000, 0) > 0)
		;
	return NULL;
}

static void closed_while_encryption_runs(void)
{
	for (int i = 0; i < 40; i++) {
		struct pair p = pair_attached();
		pthread_t s[2], r[2];

		set_all_keys(&p, i % 2 ? V12 : V13, GCM);
		for (int j = 0; j < 2; j++) {
			CHECK(!pthread_create(&s[j], NULL, send_for_ever, &p.a));
			CHECK(!pthread_create(&r[j], NULL, recv_for_ever, &p.b));
		}
		usleep(i * 1000);
		if (i % 4 < 2)
			CHECK(!shutdown(p.a, SHUT_RDWR));
		CHECK(!shutdown(p.b, SHUT_RDWR));
		for (int j = 0; j < 2; j++)
			CHECK(!pthread_join(s[j], NULL) && !pthread_join(r[j], NULL));
		pair_close(&p);
	}
}

static void killed_while_encryption_runs(void)
{
	for (int i = 0; i < 40; i++) {
		struct pair p = pair_attached();
		pid_t s, r;

		set_all_keys(&p, V13, GCM);
		if (!(s = fork()))
			send_for_ever(&p.a);
		if (!(r = fork()))
			recv_for_ever(&p.b);
		pair_close(&p);
		usleep(i * 2000);
		kill(i % 2 ? s : r, SIGKILL);
		usleep(i * 500);
		kill(s, SIGKILL);
		kill(r, SIGKILL);
		CHECK(waitpid(s, NULL, 0) == s && waitpid(r, NULL, 0) == r);
	}
}

/* An open record, which close sends. */
static void closed_with_an_open_record(void)
{
	for (int i = 0; i < 20; i++) {
		struct pair p = pair_attached();

		set_all_keys(&p, V13, GCM);
		CHECK(send(p.a, "hello", 5, MSG_MORE) == 5);
		CHECK(!close(p.a));
		CHECK(recv(p.b, got, 100, 0) == 5 && !memcmp(got, "hello", 5));
		CHECK(!recv(p.b, got, 100, 0) && !close(p.b));
	}
}

/* ---- races of options ---- */

static atomic_bool enough;
static int raced;

static void *get_options(void *arg)
{
	uint8_t info[64];

	while (!enough) {
		socklen_t len = arg ? 40 : 4;

		getsockopt(raced, SOL_TLS, TLSULP_TX, info, &len);
		len = arg ? 40 : 4;
		getsockopt(raced, SOL_TLS, TLSULP_RX, info, &len);
	}
	return NULL;
}

/* CVE-2023-28466: getsockopt() while another thread sets the key. */
static void options_race(void)
{
	for (int i = 0; i < 50; i++) {
		struct pair p = pair_connect();
		pthread_t t[2];

		enough = false;
		raced = p.a;
		CHECK(!pthread_create(&t[0], NULL, get_options, NULL));
		CHECK(!pthread_create(&t[1], NULL, get_options, &p));
		usleep(500);
		CHECK(!ulp(p.a) && !ulp(p.b));
		set_all_keys(&p, V13, GCM);
		for (int gen = 1; gen < 5; gen++)
			set_key(p.a, TLSULP_TX, V13, GCM, gen); /* kernels before 6.14 refuse */
		enough = true;
		CHECK(!pthread_join(t[0], NULL) && !pthread_join(t[1], NULL));
		pair_close(&p);
	}
}

static void *use_socket(void *arg)
{
	uint8_t few[16];
	int value = 1;

	(void)arg;
	while (!enough) {
		recv(raced, few, sizeof(few), MSG_DONTWAIT);
		setsockopt(raced, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value));
		setsockopt(raced, SOL_TLS, 99, &value, sizeof(value));
		poll(&(struct pollfd){ raced, POLLIN, 0 }, 1, 0);
		send(raced, few, 1, MSG_DONTWAIT);
	}
	return NULL;
}

/* CVE-2024-36489: the ULP comes while other threads use the socket. */
static void attach_race(void)
{
	for (int i = 0; i < 100; i++) {
		struct pair p = pair_connect();
		pthread_t t[2];

		enough = false;
		raced = p.a;
		CHECK(!pthread_create(&t[0], NULL, use_socket, NULL));
		CHECK(!pthread_create(&t[1], NULL, use_socket, NULL));
		usleep(200);
		CHECK(!ulp(p.a));
		CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
		CHECK(!set_key(p.a, TLSULP_RX, V12, GCM, 0));
		usleep(200);
		enough = true;
		CHECK(!pthread_join(t[0], NULL) && !pthread_join(t[1], NULL));
		pair_close(&p);
	}
}

/* ---- what arrives ---- */

/* CVE-2024-26582: records read in pieces, peeked and left behind at close. */
static void partially_consumed_records(void)
{
	for (int i = 0; i < 60; i++) {
		uint16_t version = i % 2 ? V12 : V13;
		struct pair p = receiver(version);
		size_t len = make_records(version, wire, 8, 3000, TLSULP_DATA), read = 0;

		CHECK(send(p.a, wire, len, 0) == (ssize_t)len);
		while (read < (size_t)i * 400) {
			ssize_t n = recv(p.b, got, 1 + read % 777, i % 3 ? 0 : MSG_PEEK);

			CHECK(n > 0 && got[0] == 'x' && got[n - 1] == 'x');
			if (!(i % 3))
				CHECK(recv(p.b, got, n, 0) == n);
			read += n;
		}
		if (i % 4 == 0)
			reset(p.a);
		else
			CHECK(!close(p.a));
		CHECK(!close(p.b));
	}
}

/* CVE-2024-26800: damaged records among good ones; the good ones before them arrive. */
static void damaged_records(void)
{
	for (int bad = 0; bad < 8; bad++) {
		struct pair p = receiver(V12);
		size_t len = make_records(V12, wire, 8, 3000, TLSULP_DATA), have = 0;
		ssize_t n;

		wire[len / 8 * bad + 100] ^= 1;
		CHECK(send(p.a, wire, len, 0) == (ssize_t)len);
		while ((n = recv(p.b, got, 2000, 0)) > 0)
			have += n;
		CHECK(n == -1 && errno == EBADMSG && have == (size_t)bad * 3000);
		CHECK_ERR(recv(p.b, got, 2000, MSG_DONTWAIT), EBADMSG);
		pair_close(&p);
	}
}

/* A peek for more than the good ones ends with them: nothing that comes will mend the next. */
static void peek_before_a_damaged_record(void)
{
	struct timeval patience = { 20, 0 };

	for (int i = 0; i < 2; i++) {
		struct pair p = receiver(V13);
		size_t len = make_records(V13, wire, 4, 1000, TLSULP_DATA);
		time_t then = time(NULL);

		wire[len / 4 * 3 + (i ? 1 : 100)] ^= 0x40; /* the header's version, or the text */
		CHECK(send(p.a, wire, len, 0) == (ssize_t)len);
		CHECK(!setsockopt(p.b, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
		usleep(50000);
		CHECK(recv(p.b, got, 8000, MSG_PEEK | MSG_WAITALL) == 3000);
		CHECK(time(NULL) - then < 15);
		CHECK(recv(p.b, got, 8000, 0) == 3000);
		CHECK(recv(p.b, got, 8000, 0) == -1 && errno != EAGAIN);
		pair_close(&p);
	}
}

struct peek {
	int fd, type;
	ssize_t n;
};

static void *peek_all(void *peek)
{
	struct peek *p = peek;

	p->n = recv_typed(p->fd, got, 2000, &p->type, MSG_PEEK | MSG_WAITALL);
	return NULL;
}

/* Who waits for more than there is to peek at keeps nobody from reading it, and looks again then.
 */
static void read_beside_a_peek(void)
{
	struct timeval patience = { 20, 0 };

	for (int i = 0; i < 3; i++) {
		struct pair p = pair_attached();
		struct peek peek = { .fd = p.b };
		static uint8_t read[1000];
		pthread_t t;
		int type;

		set_all_keys(&p, V13, GCM);
		CHECK(send(p.a, wire, 1000, 0) == 1000);
		CHECK(!setsockopt(p.b, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
		CHECK(!pthread_create(&t, NULL, peek_all, &peek));
		usleep(100000);
		CHECK(recv(p.b, read, sizeof(read), 0) == 1000);
		if (i == 0)
			CHECK(send_typed(p.a, TLSULP_ALERT, "al", 2) == 2);
		else if (i == 1)
			CHECK(send(p.a, wire, 2000, 0) == 2000);
		else
			CHECK(!shutdown(p.a, SHUT_WR));
		CHECK(!pthread_join(t, NULL));
		CHECK(peek.n == (i == 0 ? 2 : i == 1 ? 2000 : 0));
		CHECK(i == 2 || peek.type == (i ? TLSULP_DATA : TLSULP_ALERT));
		CHECK(recv_typed(p.b, got, 2000, &type, 0) == peek.n);
		pair_close(&p);
	}
}

/* Records that a file sends: its pages could change while they are opened. */
static void records_in_pages_of_a_file(void)
{
	for (int len = 1000; len <= 16000; len += 15000) {
		size_t n = make_records(V13, wire, 3, len, TLSULP_DATA);
		int file = memfd_create("file", 0);
		struct pair p = receiver(V13);

		CHECK(write(file, wire, n) == (ssize_t)n);
		CHECK(sendfile(p.a, file, &(off_t){ 0 }, n) == (ssize_t)n);
		CHECK(recv(p.b, got, 100, MSG_WAITALL) == 100);
		CHECK(recv(p.b, got, 3 * len - 100, MSG_WAITALL) == 3 * len - 100);
		CHECK(got[0] == 'x' && !memcmp(got, got + 1, 3 * len - 101));
		CHECK(!close(file));
		pair_close(&p);
	}
}

/* Data and control records are never in one call, and a control record is never taken for data. */
static void record_type_confusion(void)
{
	struct pair p = pair_attached();
	int type;

	set_all_keys(&p, V13, GCM);
	for (int i = 0; i < 20; i++) {
		CHECK(send(p.a, "data", 4, 0) == 4);
		CHECK(send_typed(p.a, TLSULP_ALERT, "al", 2) == 2);
		CHECK(send(p.a, "more", 4, 0) == 4);
		CHECK(recv(p.b, got, 2, 0) == 2);
		CHECK(recv_typed(p.b, got, 100, &type, MSG_PEEK) == 2 && type == TLSULP_DATA);
		CHECK(recv_typed(p.b, got, 100, &type, 0) == 2 && type == TLSULP_DATA);
		CHECK_ERR(recv(p.b, got, 100, 0), EIO);
		CHECK(recv_typed(p.b, got, 1, &type, 0) == 1 && type == TLSULP_ALERT);
		CHECK_ERR(recv(p.b, got, 100, 0), EIO);
		CHECK(recv_typed(p.b, got, 100, &type, 0) == 1 && type == TLSULP_ALERT);
		CHECK(recv(p.b, got, 100, 0) == 4 && !memcmp(got, "more", 4));
	}
	pair_close(&p);
}

/* A record that cannot be: told once at the least, and nothing is ever delivered. */
static bool is_bogus(int fd)
{
	CHECK(recv(fd, got, 100, MSG_DONTWAIT) == -1);
	return errno == EMSGSIZE || errno == EBADMSG || errno == EINVAL;
}

/* CVE-2025-39946: a header that cannot be, with a tiny receive buffer, and bytes without end. */
static void bogus_header_under_memory_pressure(void)
{
	static const uint8_t headers[][5] = {
		{ 23, 3, 3, 0xff, 0xff }, /* too long */
		{ 23, 3, 3, 0, 1 }, /* too short */
		{ 23, 9, 9, 0x10, 0 }, /* of no version */
	};
	int tiny = 1;

	for (size_t i = 0; i < 3 * 3; i++) {
		struct pair p = receiver(i % 2 ? V12 : V13);
		size_t first = i % 3 * 2 + 1; /* bytes of the header that come first */
		bool told;

		CHECK(!setsockopt(p.b, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)));
		memset(wire, 'y', sizeof(wire));
		memcpy(wire, headers[i / 3], 5);
		CHECK(send(p.a, wire, first, 0) == (ssize_t)first);
		told = is_bogus(p.b);
		CHECK(!told || first == 5);
		send(p.a, wire + first, sizeof(wire) - first, MSG_DONTWAIT);
		usleep(20000);
		CHECK(is_bogus(p.b) || told);
		is_bogus(p.b);
		pair_close(&p);
	}
}

/* CVE-2025-38471: bytes that came, and were partly read as plain TCP, before there was a key. */
static void queue_from_before_the_key(void)
{
	for (int i = 0; i < 50; i++) {
		struct pair p = pair_connect();
		size_t len = make_records(V13, wire, 3, 1000, TLSULP_DATA);

		CHECK(send(p.a, "plain", 5, 0) == 5);
		CHECK(send(p.a, wire, len - i, 0) == (ssize_t)len - i);
		CHECK(i % 2 || !ulp(p.b));
		CHECK(recv(p.b, got, 5, MSG_WAITALL) == 5 && !memcmp(got, "plain", 5));
		CHECK(!(i % 2) || !ulp(p.b));
		CHECK(!set_key(p.b, TLSULP_RX, V13, GCM, 0));
		CHECK(recv(p.b, got, 1500, MSG_WAITALL) == 1500);
		CHECK(send(p.a, wire + len - i, i, 0) == i && !close(p.a));
		CHECK(recv(p.b, got, 3000, MSG_WAITALL) == 1500 && !close(p.b));
	}
}

/* ---- splice and sendfile ---- */

/* CVE-2024-0646, CVE-2023-52767: pieces from pipes in an open record, and files that are empty. */
static void splice_into_an_open_record(void)
{
	struct pair p = pair_attached();
	int empty = memfd_create("empty", 0), tube[2];

	set_all_keys(&p, V13, GCM);
	CHECK(!pipe(tube));
	for (int i = 0; i < 50; i++) {
		CHECK(send(p.a, "one", 3, MSG_MORE) == 3);
		CHECK(write(tube[1], "twothree", 8) == 8);
		CHECK(splice(tube[0], NULL, p.a, NULL, 3, SPLICE_F_MORE) == 3);
		CHECK(!sendfile(p.a, empty, NULL, 1000));
		CHECK(splice(tube[0], NULL, p.a, NULL, 5, 0) == 5);
		CHECK(recv(p.b, got, 11, MSG_WAITALL) == 11 && !memcmp(got, "onetwothree", 11));
	}
	close(empty);
	pair_close(&p);
}

/* A pipe that is not emptied keeps pieces of records after the end. */
static void spliced_pieces_outlive_the_socket(void)
{
	for (int i = 0; i < 30; i++) {
		struct pair p = pair_attached();
		int tube[2];
		ssize_t n;

		set_all_keys(&p, i % 2 ? V12 : V13, GCM);
		CHECK(!pipe(tube) && send(p.a, wire, 30000, 0) == 30000);
		n = splice(p.b, NULL, tube[1], NULL, 10000, 0);
		CHECK(n > 0);
		if (i % 3)
			reset(p.a);
		else
			CHECK(!close(p.a));
		CHECK(!close(p.b));
		CHECK(read(tube[0], got, n) == n);
		close(tube[0]);
		close(tube[1]);
	}
}

/* ---- states of the socket ---- */

/* CVE-2023-0461, CVE-2025-37756: no listening and no disconnecting, with keys or without. */
static void disconnect_and_listen(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	for (int i = 0; i < 2; i++) {
		struct pair p = pair_attached();

		if (i)
			set_all_keys(&p, V12, GCM);
		CHECK_ERR(listen(p.a, 1), EINVAL);
		CHECK_ERR(connect(p.a, &none, sizeof(none)), EOPNOTSUPP);
		pass(p.a, p.b, 1000);
		pass(p.b, p.a, 1000);
		CHECK(!close(p.b));
		usleep(10000);
		CHECK_ERR(listen(p.a, 1), EINVAL);
		CHECK_ERR(connect(p.a, &none, sizeof(none)), EOPNOTSUPP);
		CHECK(!close(p.a));
	}
}

static void attach_where_it_cannot_be(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pair p = pair_connect();

	CHECK_ERR(ulp(fd), ENOTCONN);
	CHECK(!listen(listener, 1));
	CHECK_ERR(ulp(listener), ENOTCONN);
	CHECK(!close(p.b));
	usleep(10000);
	CHECK_ERR(ulp(p.a), ENOTCONN);
	CHECK(!close(p.a) && !close(fd) && !close(listener));
}

/* New keys with an open record, with unread records of the old one, and from many threads. */
static void *update_for_ever(void *fd)
{
	while (!enough)
		set_key(*(int *)fd, TLSULP_TX, V13, GCM, 0);
	return NULL;
}

static void rekey_while_sending(void)
{
	for (int i = 0; i < 20; i++) {
		struct pair p = sender(V13);
		pthread_t u[2], s;

		enough = false;
		CHECK(!pthread_create(&s, NULL, send_for_ever, &p.a));
		CHECK(!pthread_create(&u[0], NULL, update_for_ever, &p.a));
		CHECK(!pthread_create(&u[1], NULL, update_for_ever, &p.a));
		for (int j = 0; j < 50; j++)
			CHECK(recv(p.b, got, sizeof(got), 0) > 0);
		enough = true;
		CHECK(!shutdown(p.a, SHUT_RDWR) && !close(p.b));
		for (int j = 0; j < 2; j++)
			CHECK(!pthread_join(u[j], NULL));
		CHECK(!pthread_join(s, NULL) && !close(p.a));
	}
}

/* ---- limits of the socket ---- */

/* TCP_NOTSENT_LOWAT does not keep back what was accepted, wherever TCP begins a segment. */
static void closed_with_much_unsent(void)
{
	for (int i = 0; i < 10; i++) {
		struct pair p = pair_attached();
		int small = 20000, lowat = 16384, unsent = 0;
		ssize_t sent = 0, n;

		set_all_keys(&p, i % 2 ? V12 : V13, GCM);
		CHECK(!setsockopt(p.b, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
		for (int part = 3000; unsent < (i + 4) * 8000; sent += part) {
			CHECK(send(p.a, wire, part, MSG_DONTWAIT) == part);
			CHECK(!ioctl(p.a, SIOCOUTQNSD, &unsent));
		}
		CHECK(send(p.a, wire, 16000, MSG_MORE) == 16000);
		sent += 16000;
		CHECK(!setsockopt(p.a, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)));
		CHECK(!(i % 3 ? close(p.a) : shutdown(p.a, SHUT_WR)));
		while ((n = recv(p.b, got, sizeof(got), 0)) > 0)
			sent -= n;
		CHECK(!n && !sent && !close(p.b));
		CHECK(i % 3 || !close(p.a));
	}
}

/* A connection whose windows are smaller than a record. */
static struct pair pair_narrow(void)
{
	int fd = open("/proc/sys/net/ipv4/tcp_rmem", O_RDWR);
	char usual[100];
	ssize_t n = read(fd, usual, sizeof(usual));
	struct pair p;

	CHECK(n > 0 && pwrite(fd, "4096 8192 8192", 14, 0) == 14);
	p = pair_attached();
	CHECK(pwrite(fd, usual, n, 0) == n && !close(fd));
	return p;
}

static void poll_alone_tells(int fd, ssize_t len)
{
	CHECK(poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 20000) == 1);
	CHECK(recv(fd, got, sizeof(got), MSG_DONTWAIT) == len);
}

/* The window is full before there is a key: nothing more comes to tell of it. */
static void full_window_before_the_key(void)
{
	size_t len = make_records(V13, wire, 1, 16000, TLSULP_DATA);
	struct pair p = pair_narrow();

	CHECK(send(p.a, wire, len, 0) == (ssize_t)len);
	usleep(300000);
	CHECK(!set_key(p.b, TLSULP_RX, V13, GCM, 0));
	poll_alone_tells(p.b, 16000);
	pair_close(&p);
}

static void full_window_before_the_new_key(void)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 };
	struct pair p = pair_narrow();
	int type;

	set_all_keys(&p, V13, GCM);
	CHECK(send_typed(p.a, 22, update, sizeof(update)) == sizeof(update));
	CHECK(!set_key(p.a, TLSULP_TX, V13, GCM, 1));
	CHECK(send(p.a, wire, 16000, 0) == 16000);
	CHECK(recv_typed(p.b, got, 100, &type, 0) == sizeof(update) && type == 22);
	usleep(300000);
	CHECK(!set_key(p.b, TLSULP_RX, V13, GCM, 1));
	poll_alone_tells(p.b, 16000);
	pair_close(&p);
}

/* TCP tells of SO_RCVLOWAT bytes, and less than that may be missing of a record. */
static void low_water_and_narrow_windows(void)
{
	int lowat = 4096, value;

	for (ssize_t len = 9000; len < 16000; len += 350) {
		struct pair p = pair_narrow();
		socklen_t size = sizeof(value);

		set_all_keys(&p, V13, GCM);
		CHECK(!setsockopt(p.b, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)));
		CHECK(send(p.a, wire, len, 0) == len);
		poll_alone_tells(p.b, len);
		CHECK(!getsockopt(p.b, SOL_SOCKET, SO_RCVLOWAT, &value, &size) && value == lowat);
		pair_close(&p);
	}
}

/* ---- odd arguments ---- */

/* What the kernel says to itself is no flag of a program: refused, or without a meaning. */
static void internal_flags(void)
{
	for (int bit = 16; bit < 30; bit++) {
		struct pair p;
		ssize_t n;

		if (1 << bit == MSG_ZEROCOPY || 1 << bit == MSG_FASTOPEN)
			continue;
		p = pair_attached();
		set_all_keys(&p, V13, GCM);
		n = send(p.a, wire, 1000, 1 << bit);
		CHECK(n == 1000 || (n == -1 && errno == EOPNOTSUPP));
		if (n > 0)
			poll_alone_tells(p.b, 1000);
		pass(p.a, p.b, 1000);
		pair_close(&p);
	}
}

/* A header without its byte at the very end of the control messages. */
static void control_message_without_data(void)
{
	struct cmsghdr control[3] = { { sizeof(*control), SOL_SOCKET, 99 },
				      { sizeof(*control), SOL_SOCKET, 99 },
				      { sizeof(*control), SOL_TLS, TLSULP_SET_RECORD_TYPE } };
	struct iovec iov = { wire, 100 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct pair p = pair_attached();

	set_all_keys(&p, V13, GCM);
	CHECK_ERR(sendmsg(p.a, &msg, 0), EINVAL);
	pass(p.a, p.b, 1000);
	pair_close(&p);
}

static long count(const char *name)
{
	FILE *f = fopen("/proc/net/tls_stat", "r");
	char word[64];
	long n, found = -1;

	while (f && fscanf(f, "%63s %ld", word, &n) == 2)
		if (!strcmp(word, name))
			found = n;
	CHECK(found >= 0 && !fclose(f));
	return found;
}

/* A new key that ends where there is no memory is an update that failed. */
static void new_key_in_bad_memory(void)
{
	uint8_t *end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t len;
	const void *info = key_info(V13, GCM, 1, &len);
	struct pair p = pair_attached();
	long before;

	CHECK(end != MAP_FAILED && !munmap(end + 4096, 4096));
	memcpy(end + 4096 - 20, info, 20);
	set_all_keys(&p, V13, GCM);
	before = count("TlsTxRekeyError");
	CHECK_ERR(setsockopt(p.a, SOL_TLS, TLSULP_TX, end + 4096 - 20, len), EFAULT);
	CHECK(count("TlsTxRekeyError") == before + 1);
	pass(p.a, p.b, 1000);
	pair_close(&p);
}

/* Memory that can be read and whose pages nobody gets. */
static void send_unpinnable(const char *what, const uint8_t *from)
{
	struct pair p;

	if (from == MAP_FAILED) {
		printf("%s is not to be had: left out\n", what);
		return;
	}
	p = pair_attached();
	set_all_keys(&p, V13, GCM);
	for (size_t len = 2000; len <= 60000; len += 14500) {
		CHECK(send(p.a, from + 1, len, 0) == (ssize_t)len);
		CHECK(recv(p.b, got, len, MSG_WAITALL) == (ssize_t)len);
		CHECK(!memcmp(got, from + 1, len));
	}
	pair_close(&p);
}

static void send_from_memory_without_pages(void)
{
	int secret = syscall(SYS_memfd_secret, 0), devices = open("/dev/mem", O_RDONLY);
	uint8_t *own = MAP_FAILED;

	if (secret >= 0) {
		CHECK(!ftruncate(secret, 65536));
		own = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, secret, 0);
		for (int i = 0; own != MAP_FAILED && i < 65536; i++)
			own[i] = i + i / 251;
	}
	send_unpinnable("memfd_secret", own);
	send_unpinnable("the BIOS", mmap(NULL, 65536, PROT_READ, MAP_SHARED, devices, 0xf0000));
}

/* ---- another route ---- */

/* Two ends of a cable, each in a network of its own. False: this kernel has none. */
static bool lay_cable(int *near, int *far)
{
	char command[200];

	system("modprobe -q veth");
	*near = open("/proc/self/ns/net", O_RDONLY);
	CHECK(*near >= 0 && !unshare(CLONE_NEWNET));
	*far = open("/proc/self/ns/net", O_RDONLY);
	if (system("ip link add far type veth"))
		return false;
	snprintf(command, sizeof(command),
		 "ip link set veth0 netns %d && ip addr add 10.11.12.2/24 dev far && "
		 "ip link set far up",
		 getppid());
	CHECK(*far >= 0 && !system(command) && !setns(*near, CLONE_NEWNET));
	CHECK(!system("ip addr add 10.11.12.1/24 dev veth0 && ip link set veth0 up"));
	return true;
}

static void without_scatter_gather(const char *link)
{
	struct ethtool_value off = { .cmd = ETHTOOL_SSG };
	struct ifreq request = { .ifr_data = (void *)&off };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(request.ifr_name, link);
	CHECK(fd >= 0 && !ioctl(fd, SIOCETHTOOL, &request) && !close(fd));
}

/* Signed segments, which TCP makes itself: else it does for the link what that cannot. */
static void sign(int fd, const char *peer)
{
	struct tcp_md5sig key = { .tcpm_keylen = 3, .tcpm_key = "key" };
	struct sockaddr_in *addr = (struct sockaddr_in *)&key.tcpm_addr;

	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = inet_addr(peer);
	CHECK(!setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)));
}

static struct pair pair_over(int near, int far)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(4433) };
	struct pair p;
	int listener;

	CHECK(!setns(far, CLONE_NEWNET));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 1));
	sign(listener, "10.11.12.1");
	CHECK(!setns(near, CLONE_NEWNET));
	p.a = socket(AF_INET, SOCK_STREAM, 0);
	sign(p.a, "10.11.12.2");
	addr.sin_addr.s_addr = inet_addr("10.11.12.2");
	CHECK(!connect(p.a, (struct sockaddr *)&addr, sizeof(addr)));
	p.b = accept(listener, NULL, NULL);
	CHECK(p.b >= 0 && !close(listener) && !ulp(p.a) && !ulp(p.b));
	return p;
}

/* TCP cannot send pages by reference there. */
static void route_without_scatter_gather(void)
{
	int near, far;
	struct pair p;

	if (!lay_cable(&near, &far)) {
		printf("veth is not to be had: left out\n");
		return;
	}
	without_scatter_gather("veth0");
	p = pair_over(near, far);
	set_all_keys(&p, V13, GCM);
	for (int i = 0; i < 20; i++) {
		pass(p.a, p.b, 50000);
		pass(p.b, p.a, 50000);
		pass_file(p.a, p.b, 50000);
	}
	pair_close(&p);
}

/* ---- BPF ---- */

static int bpf(int call, union bpf_attr *attr)
{
	return syscall(SYS_bpf, call, attr, sizeof(*attr));
}

/* A program that sets SO_RCVLOWAT whenever a socket's state changes. */
static int option_setter(void)
{
	static const struct bpf_insn code[] = {
		{ BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0 },
		{ BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct bpf_sock_ops, op), 0 },
		{ BPF_JMP | BPF_JNE | BPF_K, 2, 0, 9, BPF_SOCK_OPS_STATE_CB },
		{ BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 5 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, SOL_SOCKET },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, SO_RCVLOWAT },
		{ BPF_ALU64 | BPF_MOV | BPF_X, 4, 10, 0, 0 },
		{ BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, -4 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 5, 0, 0, 4 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_setsockopt },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
		/* for other events: ask for those */
		{ BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, BPF_SOCK_OPS_STATE_CB_FLAG },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sock_ops_cb_flags_set },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCK_OPS,
				.expected_attach_type = BPF_CGROUP_SOCK_OPS,
				.insns = (uintptr_t)code,
				.insn_cnt = sizeof(code) / sizeof(code[0]),
				.license = (uintptr_t) "GPL" };

	return bpf(BPF_PROG_LOAD, &attr);
}

static void options_set_while_it_closes(void)
{
	union bpf_attr attr = { .attach_type = BPF_CGROUP_SOCK_OPS };
	const char *groups = "/tmp/groups";
	struct pair p;

	mkdir(groups, 0700);
	attr.attach_bpf_fd = option_setter();
	if ((int)attr.attach_bpf_fd < 0 || mount("none", groups, "cgroup2", 0, NULL)) {
		printf("BPF programs of cgroups are not to be had (%s): left out\n",
		       strerror(errno));
		return;
	}
	attr.target_fd = open(groups, O_RDONLY);
	CHECK(!bpf(BPF_PROG_ATTACH, &attr));
	for (int i = 0; i < 2; i++) {
		p = pair_attached();
		set_all_keys(&p, V13, GCM);
		pass(p.a, p.b, 1000);
		CHECK(i || !shutdown(p.b, SHUT_RDWR));
		pair_close(&p);
	}
	CHECK(!bpf(BPF_PROG_DETACH, &attr) && !close(attr.target_fd) && !umount(groups));
}

static int sockmap(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 4
	};
	int map = bpf(BPF_MAP_CREATE, &attr);

	CHECK(map >= 0);
	return map;
}

static int sockmap_add(int map, int fd)
{
	uint32_t key = 0, value = fd;
	union bpf_attr attr = { .map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)&value };

	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

/* The socket is in a sockmap first: an error, or it works; then the other way round. */
static void sockmap_and_ulp(void)
{
	int map = sockmap();
	struct pair p = pair_connect();

	CHECK(!sockmap_add(map, p.a));
	if (!ulp(p.a)) {
		CHECK(!ulp(p.b));
		set_all_keys(&p, V12, GCM);
	}
	pass(p.a, p.b, 1000);
	pass(p.b, p.a, 1000);
	pair_close(&p);

	p = pair_attached();
	sockmap_add(map, p.a);
	set_all_keys(&p, V12, GCM);
	pass(p.a, p.b, 1000);
	sockmap_add(map, p.b);
	pass(p.b, p.a, 1000);
	CHECK(!close(map));
	pass(p.a, p.b, 1000);
	pair_close(&p);
}

/* ---- */

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}
	CASE(reset_in_mid_record),
	CASE(end_in_mid_record),
	CASE(reset_while_sending),
	CASE(closed_while_encryption_runs),
	CASE(killed_while_encryption_runs),
	CASE(closed_with_an_open_record),
	CASE(options_race),
	CASE(attach_race),
	CASE(partially_consumed_records),
	CASE(damaged_records),
	CASE(peek_before_a_damaged_record),
	CASE(read_beside_a_peek),
	CASE(records_in_pages_of_a_file),
	CASE(record_type_confusion),
	CASE(bogus_header_under_memory_pressure),
	CASE(queue_from_before_the_key),
	CASE(splice_into_an_open_record),
	CASE(spliced_pieces_outlive_the_socket),
	CASE(disconnect_and_listen),
	CASE(attach_where_it_cannot_be),
	CASE(rekey_while_sending),
	CASE(closed_with_much_unsent),
	CASE(full_window_before_the_key),
	CASE(full_window_before_the_new_key),
	CASE(low_water_and_narrow_windows),
	CASE(internal_flags),
	CASE(control_message_without_data),
	CASE(new_key_in_bad_memory),
	CASE(send_from_memory_without_pages),
	CASE(route_without_scatter_gather),
	CASE(options_set_while_it_closes),
	CASE(sockmap_and_ulp),
};

static bool wanted(const char *name, char **names)
{
	bool any = !*names;

	for (; *names; names++)
		any |= !strcmp(*names, name);
	return any;
}

int main(int argc, char **argv)
{
	const char *patience = getenv("TEST_PATIENCE");
	int failed = 0;

	(void)argc;
	setvbuf(stdout, NULL, _IONBF, 0);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = 0;
		pid_t pid;

		if (!wanted(cases[i].name, argv + 1))
			continue;
		pid = fork();
		if (!pid) {
			alarm(120 * (patience ? atoi(patience) : 1));
			cases[i].run();
			exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		if (status)
			printf("status %x", status);
		printf("%s %s\n", status ? "\nnot ok" : "ok", cases[i].name);
		failed |= !!status;
	}
	return failed;
}
