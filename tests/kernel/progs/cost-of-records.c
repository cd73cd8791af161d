// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What 16 KiB records cost, in one process that never waits: each call is at once followed by
 * what makes room for the next one. The other end of the connection is plain TCP. For each way it
 * prints the nanoseconds a GiB, of those calls alone and of all that goes with them:
 *
 *   cost send 1.3 CALLS ALL
 *
 * For a guest whose clock counts instructions (cost.sh).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/pair.h"

#define RECORD 16384
#define RECORDS 2048
#define WARM_UP 64
#define GIB (1L << 30)

static uint8_t plain[RECORD], cipher[RECORDS + WARM_UP][RECORD + 256];
static size_t cipher_len;
static int file;

static int64_t now(void)
{
	struct timespec t;

	CHECK(!clock_gettime(CLOCK_MONOTONIC, &t));
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t calls, begin;

static void start(void)
{
	calls = 0;
	begin = now();
}

static void say(const char *way, const char *version)
{
	long all = now() - begin, parts = GIB / RECORD / RECORDS;

	printf("cost %s %s %ld %ld\n", way, version, (long)calls * parts, all * parts);
}

/* All that has come is thrown away, unless @to is given: then it is one record, for later. */
static void drain(int fd, uint8_t *to)
{
	size_t have = 0;

	if (to) {
		cipher_len = RECORD;
		for (ssize_t n; have < cipher_len; have += n) {
			n = recv(fd, to + have, have < 5 ? 5 - have : cipher_len - have, 0);
			CHECK(n > 0);
			if (have + n == 5)
				cipher_len = 5 + to[3] * 256 + to[4];
		}
		return;
	}
	while (recv(fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT) > 0)
		;
	CHECK(errno == EAGAIN);
}

static ssize_t send_one(int fd)
{
	return send(fd, plain, RECORD, MSG_DONTWAIT);
}

static ssize_t sendfile_one(int fd)
{
	off_t at = 0;

	return sendfile(fd, file, &at, RECORD);
}

static void send_records(int fd, int peer, ssize_t (*one)(int), int count, bool keep)
{
	for (int i = 0; i < count; i++) {
		int64_t before = now();
		ssize_t n = one(fd);

		calls += now() - before;
		CHECK(n == RECORD);
		drain(peer, keep ? cipher[i] : NULL);
	}
}

static void measure_sending(const char *way, const char *name, uint16_t version,
			    ssize_t (*one)(int))
{
	struct pair p = pair_attached();

	CHECK(!set_key(p.a, TLSULP_TX, version, TLSULP_AES_GCM_128, 0));
	send_records(p.a, p.b, one, WARM_UP, false);
	start();
	send_records(p.a, p.b, one, RECORDS, false);
	say(way, name);
	pair_close(&p);
}

static void receive_records(int fd, int peer, int from, int count)
{
	for (int i = from; i < from + count; i++) {
		int64_t before;
		ssize_t n;

		CHECK(send(peer, cipher[i], cipher_len, 0) == (ssize_t)cipher_len);
		before = now();
		n = recv(fd, plain, RECORD, MSG_DONTWAIT);
		calls += now() - before;
		CHECK(n == RECORD);
	}
}

static void measure_receiving(const char *name, uint16_t version)
{
	struct pair p = pair_attached();

	CHECK(!set_key(p.a, TLSULP_TX, version, TLSULP_AES_GCM_128, 0));
	send_records(p.a, p.b, send_one, RECORDS + WARM_UP, true);
	pair_close(&p);
	p = pair_attached();
	CHECK(!set_key(p.b, TLSULP_RX, version, TLSULP_AES_GCM_128, 0));
	receive_records(p.b, p.a, 0, WARM_UP);
	start();
	receive_records(p.b, p.a, WARM_UP, RECORDS);
	say("recv", name);
	pair_close(&p);
}

int main(void)
{
	static const struct {
		const char *name;
		uint16_t version;
	} versions[] = { { "1.2", TLSULP_VERSION_1_2 }, { "1.3", TLSULP_VERSION_1_3 } };

	file = memfd_create("file", 0);
	CHECK(file >= 0 && write(file, plain, RECORD) == RECORD);
	for (int i = 0; i < 2; i++) {
		measure_sending("send", versions[i].name, versions[i].version, send_one);
		measure_sending("sendfile", versions[i].name, versions[i].version, sendfile_one);
		measure_receiving(versions[i].name, versions[i].version);
	}
	return 0;
}
