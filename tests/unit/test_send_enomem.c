// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * With the n-th allocation failing, for every n: each call gives ENOMEM or does
 * its work, and not one byte is lost, doubled or out of order.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_MAX 200
#define TEXT_LEN 45000

static uint8_t text[TEXT_LEN], got[TEXT_LEN];
static int file; /* text */
static int refused; /* calls that said ENOMEM in this round */

/* One call of the script: how to send the next @len bytes. */
struct step {
	enum { SEND, ALERT, FILE_, PIPE } how;
	size_t len;
	int flags;
};

static const struct step script[] = {
	{ SEND, 100, MSG_MORE }, { SEND, 17000, MSG_MORE },
	{ SEND, 5, 0 },          { SEND, 50, MSG_MORE },
	{ ALERT, 2, 0 },         { SEND, 1, 0 },
	{ FILE_, 3000, 0 },      { SEND, 70, MSG_MORE },
	{ FILE_, 500, 0 },       { PIPE, 4000, SPLICE_F_MORE },
	{ PIPE, 300, 0 },        { SEND, 18000, 0 },
};

static ssize_t send_alert(int fd, const uint8_t *p, size_t len)
{
	union {
		char bytes[CMSG_SPACE(1)];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)p, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_LEN(1) };

	control.align.cmsg_level = SOL_TLS;
	control.align.cmsg_type = TLSULP_SET_RECORD_TYPE;
	control.align.cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(&control.align) = TLSULP_ALERT;
	return tlsulp_sendmsg(fd, &msg, 0);
}

static ssize_t once(int fd, int pipe_fd, const struct step *s, size_t at, size_t len)
{
	off64_t offset = at;

	switch (s->how) {
	case SEND:
		return tlsulp_send(fd, text + at, len, s->flags);
	case ALERT:
		return send_alert(fd, text + at, len);
	case FILE_:
		return tlsulp_sendfile(fd, file, &offset, len);
	default:
		return tlsulp_splice(pipe_fd, NULL, fd, NULL, len, s->flags);
	}
}

static void play(int fd)
{
	size_t at = 0;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	for (size_t i = 0; i < ARRAY_SIZE(script); i++) {
		size_t left = script[i].len;

		if (script[i].how == PIPE)
			raw_write(pipes[1], text + at, left);
		while (left) {
			ssize_t n = once(fd, pipes[0], &script[i], at, left);

			if (n < 0) {
				assert_int_equal(errno, ENOMEM);
				refused++;
				assert_true(refused < 100);
				continue;
			}
			at += n;
			left -= n;
		}
	}
	arena_fail_buffer(0);
	close(pipes[0]);
	close(pipes[1]);
}

static size_t script_len(void)
{
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(script); i++)
		len += script[i].len;
	return len;
}

/* The alert stands where the script has it, in a record of its own. */
static void check_raw(int fd, struct tls_keys k)
{
	size_t at = 0, alert_at = 100 + 17000 + 5 + 50;
	uint8_t plain[TLS_PAYLOAD_MAX], type;

	while (at < script_len()) {
		ssize_t n = raw_record(fd, &k, plain, &type);

		assert_true(n > 0);
		assert_int_equal(type, at == alert_at ? TLSULP_ALERT : TLSULP_DATA);
		if (at == alert_at)
			assert_int_equal(n, 2);
		assert_memory_equal(plain, text + at, n);
		at += n;
	}
	assert_int_equal(at, script_len());
	assert_true(raw_is_empty(fd));
}

static void check_received(int fd)
{
	size_t at = 0;

	while (at < script_len()) {
		union {
			char bytes[CMSG_SPACE(1)];
			struct cmsghdr align;
		} control;
		struct iovec iov = { got, sizeof(got) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = tlsulp_recvmsg(fd, &msg, 0);

		assert_true(n > 0);
		assert_memory_equal(got, text + at, n);
		at += n;
	}
	assert_int_equal(at, script_len());
}

static int send_round(unsigned int fail, bool rx)
{
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, rx);
	refused = 0;
	arena_fail_buffer(fail);
	play(fd[0]);
	if (rx)
		check_received(fd[1]);
	else
		check_raw(fd[1], k);
	home_close(fd);
	return refused;
}

static void every_n(int (*round)(unsigned int fail, bool rx), bool rx)
{
	unsigned int n = 1;

	assert_int_equal(round(0, rx), 0);
	while (n < N_MAX && round(n, rx) > 0)
		n++;
	assert_true(n > 1 && n < N_MAX);
}

static void test_sending_loses_nothing_on_the_wire(void **state)
{
	every_n(send_round, false);
}

static void test_sending_loses_nothing_for_the_receiver(void **state)
{
	every_n(send_round, true);
}

/* Its memory is there already. */
static void test_ending_a_record_needs_no_memory(void **state)
{
	uint8_t plain[TLS_PAYLOAD_MAX], type;
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, false);
	assert_int_equal(tlsulp_send(fd[0], "abc", 3, MSG_MORE), 3);
	arena_fail_buffer(1);
	assert_int_equal(tlsulp_send(fd[0], "def", 3, 0), 3);
	arena_fail_buffer(0);
	assert_int_equal(raw_record(fd[1], &k, plain, &type), 6);
	assert_memory_equal(plain, "abcdef", 6);
	home_close(fd);
}

/* ---- receive ---- */

/* Records as a peer would write them; data is taken from text in order. */
static const struct {
	uint8_t type;
	size_t len;
} records[] = { { TLSULP_DATA, 10 },      { TLSULP_DATA, 0 },    { TLSULP_DATA, 9000 },
		{ TLSULP_ALERT, 2 },      { TLSULP_DATA, 300 },  { TLSULP_DATA, 5000 },
		{ TLSULP_HANDSHAKE, 40 }, { TLSULP_DATA, 16384 } };

static size_t write_records(int fd, struct tls_keys k)
{
	static uint8_t wire[TLS_WIRE_MAX];
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		raw_write(fd, wire,
			  record_seal(&k, i, records[i].type, text + at, records[i].len, wire));
		at += records[i].len;
	}
	return at;
}

/* Reads of every kind in turn: bytes moved into @out, or -1. */
static ssize_t read_somehow(int fd, int turn, uint8_t *out, size_t room)
{
	static const size_t sizes[] = { 7, 20000, 100, 16384, 3000 };
	union {
		char bytes[CMSG_SPACE(1)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { out, sizes[turn % 5] < room ? sizes[turn % 5] : room };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	if (turn % 3 == 1) {
		n = tlsulp_recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0)
			return n;
		msg.msg_controllen = sizeof(control);
	}
	return tlsulp_recvmsg(fd, &msg, MSG_DONTWAIT);
}

static int receive_round(unsigned int fail, bool rx)
{
	size_t len, at = 0;
	struct tls_keys k;
	int fd[2];

	k = home_rx_pair(fd, TLSULP_VERSION_1_3, TLSULP_CHACHA20_POLY1305);
	len = write_records(fd[0], k);
	refused = 0;
	arena_fail_buffer(fail);
	for (int turn = 0; at < len && turn < 10000; turn++) {
		ssize_t n = read_somehow(fd[1], turn, got + at, len - at);

		if (n >= 0) {
			at += n;
		} else {
			assert_int_equal(errno, ENOMEM);
			refused++;
		}
	}
	arena_fail_buffer(0);
	assert_int_equal(at, len);
	assert_memory_equal(got, text, len);
	assert_int_equal(tlsulp_recv(fd[1], got, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	home_close(fd);
	return refused;
}

static void test_receiving_loses_nothing(void **state)
{
	every_n(receive_round, true);
}

static int splice_round(unsigned int fail, bool rx)
{
	size_t at = 0;
	struct tls_keys k;
	int fd[2], pipes[2];
	uint8_t wire[400];

	assert_int_equal(pipe(pipes), 0);
	k = home_rx_pair(fd, TLSULP_VERSION_1_3, TLSULP_AES_GCM_256);
	for (int i = 0; i < 3; i++)
		raw_write(fd[0], wire, record_seal(&k, i, TLSULP_DATA, text + i * 100, 100, wire));
	refused = 0;
	arena_fail_buffer(fail);
	while (at < 300) {
		ssize_t n = tlsulp_splice(fd[1], NULL, pipes[1], NULL, 70, SPLICE_F_NONBLOCK);

		if (n < 0) {
			assert_int_equal(errno, ENOMEM);
			refused++;
			assert_true(refused < 100);
			continue;
		}
		assert_int_equal(read(pipes[0], got + at, n), n);
		at += n;
	}
	arena_fail_buffer(0);
	assert_memory_equal(got, text, 300);
	close(pipes[0]);
	close(pipes[1]);
	home_close(fd);
	return refused;
}

static void test_splicing_loses_nothing(void **state)
{
	every_n(splice_round, true);
}

static int setup(void **state)
{
	home_start();
	fill_pattern(text, sizeof(text), 3);
	file = memfd_create("text", 0);
	return write(file, text, sizeof(text)) != sizeof(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sending_loses_nothing_on_the_wire),
		cmocka_unit_test(test_sending_loses_nothing_for_the_receiver),
		cmocka_unit_test(test_ending_a_record_needs_no_memory),
		cmocka_unit_test(test_receiving_loses_nothing),
		cmocka_unit_test(test_splicing_loses_nothing),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
