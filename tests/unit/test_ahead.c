// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* user/ahead.h: runs of small records; what the kernel says of the queue stays true. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/conn.h"
#include "user/session.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define SMALL 100

static uint8_t text[1 << 16], wire[TLS_WIRE_MAX], got[1 << 16];

static void write_record(int fd, struct tls_keys *k, uint8_t type, size_t at, size_t len)
{
	raw_write(fd, wire, record_seal(k, 0, type, text + at, len, wire));
	k->seq++;
	k->explicit_nonce++;
}

static bool kernel_says_readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) > 0;
}

static int queued(int fd)
{
	int n = 0;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

static bool is_ahead(int fd)
{
	struct conn *c = conn_pin(fd);
	bool on = c->session->rx.ahead_len != 0;

	conn_unpin(c);
	return on;
}

/* The next data, and whether the kernel goes on to say readable. */
static void read_next(int fd, size_t at, size_t len, bool more)
{
	assert_int_equal(tlsulp_recv(fd, got, len, MSG_DONTWAIT), len);
	assert_memory_equal(got, text + at, len);
	assert_int_equal(kernel_says_readable(fd), more);
}

static void test_a_run_is_readable_until_its_last_record(void **state)
{
	struct tls_keys k;
	bool was_ahead = false;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < 50; i++)
		write_record(fd[0], &k, TLSULP_DATA, i * SMALL, SMALL);
	for (int i = 0; i < 50; i++) {
		read_next(fd[1], i * SMALL, SMALL, i < 49);
		was_ahead |= is_ahead(fd[1]);
	}
	assert_true(was_ahead);
	assert_int_equal(queued(fd[1]), 0);
	assert_int_equal(tlsulp_recv(fd[1], got, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	home_close(fd);
}

/* Reads of every kind in the midst of a run, each at another record. */
static void test_other_reads_end_the_run(void **state)
{
	for (int kind = 0; kind < 5; kind++) {
		struct tls_keys k;
		int fd[2], ends[2];
		size_t at = 0;

		k = home_rx_pair(fd, V13, GCM);
		assert_int_equal(pipe(ends), 0);
		for (int i = 0; i < 30; i++)
			write_record(fd[0], &k, TLSULP_DATA, i * SMALL, SMALL);
		for (int i = 0; i < 4 + kind; i++, at += SMALL)
			read_next(fd[1], at, SMALL, true);
		assert_true(is_ahead(fd[1]));
		switch (kind) {
		case 0:
			assert_int_equal(tlsulp_recv(fd[1], got, 3 * SMALL, MSG_PEEK), 3 * SMALL);
			break;
		case 1: /* less than a record */
			read_next(fd[1], at, 7, true);
			read_next(fd[1], at + 7, SMALL - 7, true);
			at += SMALL;
			break;
		case 2:
			assert_int_equal(tlsulp_recv(fd[1], bad_page(), SMALL, MSG_DONTWAIT), -1);
			assert_int_equal(errno, EFAULT);
			break;
		case 3:
			assert_int_equal(tlsulp_splice(fd[1], NULL, ends[1], NULL, SMALL, 0),
					 SMALL);
			at += SMALL;
			break;
		case 4: /* more than a run */
			assert_int_equal(tlsulp_recv(fd[1], got, sizeof(got), MSG_DONTWAIT),
					 30 * SMALL - at);
			assert_memory_equal(got, text + at, 30 * SMALL - at);
			at = 30 * SMALL;
			break;
		}
		for (; at < 30 * SMALL; at += SMALL)
			read_next(fd[1], at, SMALL, at + SMALL < 30 * SMALL);
		assert_int_equal(queued(fd[1]), 0);
		close(ends[0]);
		close(ends[1]);
		home_close(fd);
	}
}

static void test_an_alert_stands_where_it_stood(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < 20; i++)
		write_record(fd[0], &k, i == 10 ? TLSULP_ALERT : TLSULP_DATA, i * SMALL, SMALL);
	for (int i = 0; i < 10; i++)
		read_next(fd[1], i * SMALL, SMALL, true);
	assert_int_equal(tlsulp_recv(fd[1], got, SMALL, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EIO);
	home_close(fd);
}

static void test_good_records_come_before_a_bad_one(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < 20; i++) {
		size_t len = record_seal(&k, i, TLSULP_DATA, text + i * SMALL, SMALL, wire);

		wire[len - 1] ^= i == 10;
		raw_write(fd[0], wire, len);
	}
	for (int i = 0; i < 10; i++)
		read_next(fd[1], i * SMALL, SMALL, true);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tlsulp_recv(fd[1], got, SMALL, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EBADMSG);
	}
	home_close(fd);
}

/* A run that one process has begun, another goes on with. */
static void test_a_child_goes_on_with_the_run(void **state)
{
	struct tls_keys k;
	int fd[2], status;
	pid_t pid;

	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < 30; i++)
		write_record(fd[0], &k, TLSULP_DATA, i * SMALL, SMALL);
	for (int i = 0; i < 5; i++)
		read_next(fd[1], i * SMALL, SMALL, true);
	pid = fork();
	if (!pid) {
		for (int i = 5; i < 15; i++)
			read_next(fd[1], i * SMALL, SMALL, true);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (int i = 15; i < 30; i++)
		read_next(fd[1], i * SMALL, SMALL, i < 29);
	home_close(fd);
}

/* No reset is sent for bytes that were read: the peer gets the end of the stream. */
static void test_after_a_run_the_close_is_clean(void **state)
{
	struct tls_keys k;
	int fd[2];
	char byte;

	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < 30; i++)
		write_record(fd[0], &k, TLSULP_DATA, i * SMALL, SMALL);
	for (int i = 0; i < 30; i++)
		read_next(fd[1], i * SMALL, SMALL, i < 29);
	assert_int_equal(tlsulp_close(fd[1]), 0);
	assert_int_equal(recv(fd[0], &byte, 1, 0), 0);
	close(fd[0]);
}

static int setup(void **state)
{
	home_start();
	fill_pattern(text, sizeof(text), 7);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_run_is_readable_until_its_last_record),
		cmocka_unit_test(test_other_reads_end_the_run),
		cmocka_unit_test(test_an_alert_stands_where_it_stood),
		cmocka_unit_test(test_good_records_come_before_a_bad_one),
		cmocka_unit_test(test_a_child_goes_on_with_the_run),
		cmocka_unit_test(test_after_a_run_the_close_is_clean),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
