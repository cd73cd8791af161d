// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Naps of a receiver: for which streams (user/pace.h), and what becomes of a call in one. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/conn.h"
#include "user/pace.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define NAP_NS 110000
#define US 1000
#define FOR_EVER (INT64_MAX / 2)

/* A stream as the receiver meets it: what a record takes without naps and with them. */
struct stream {
	int64_t alone_ns, napping_ns;
	uint64_t each_wait; /* so many records between two waits, without naps */
	bool answered; /* this side sends, too */
	bool is_near;
};

struct outcome {
	uint32_t waits, naps;
	int64_t ns;
	uint64_t records;
};

static bool yes(int fd)
{
	return true;
}

static bool no(int fd)
{
	return false;
}

static struct outcome follow(struct pace *p, const struct stream *s, uint32_t waits)
{
	static uint64_t records, sent;
	static int64_t now;
	struct outcome o = { 0 };

	for (; o.waits < waits; o.waits++) {
		uint64_t n = s->each_wait;
		int64_t each = s->alone_ns;

		if (pace_wait(p, now, records, sent, s->is_near ? no : yes, 0)) {
			o.naps++;
			each = s->napping_ns;
			n = NAP_NS / each;
		}
		now += each * (int64_t)n;
		records += n;
		o.ns += each * (int64_t)n;
		o.records += n;
		sent += s->answered;
	}
	return o;
}

static void test_a_stream_that_naps_make_faster(void **state)
{
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };
	struct pace p = { 0 };
	struct outcome o = follow(&p, &s, 33);

	assert_int_equal(o.naps, 1); /* the first window is over */
	o = follow(&p, &s, 10000);
	assert_true(o.naps > 8000 && o.naps < 10000); /* now and then it is looked at without */
	assert_true(o.ns / (int64_t)o.records < 3200);
}

static void test_a_stream_with_a_pace_of_its_own(void **state)
{
	struct stream s = { .alone_ns = 10 * US, .napping_ns = 10 * US, .each_wait = 1 };
	struct pace p = { 0 };

	assert_true(follow(&p, &s, 100).naps);
	follow(&p, &s, 20000);
	assert_true(follow(&p, &s, 10000).naps < 20); /* ever less often */
	/* Once its sender is as quick as it is woken seldom, it is found out. */
	s.napping_ns = 4 * US;
	follow(&p, &s, 40000);
	assert_true(follow(&p, &s, 10000).naps > 8000);
}

static void test_what_is_left_alone(void **state)
{
	static const struct stream streams[] = {
		{ .alone_ns = 45 * US, .napping_ns = 5 * US, .each_wait = 1 }, /* slow */
		{ .alone_ns = 3 * US, .napping_ns = 1 * US, .each_wait = 20 }, /* seldom woken */
		{ .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1, .answered = true },
		{ .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1, .is_near = true },
	};

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct pace p = { 0 };

		assert_int_equal(follow(&p, &streams[i], 20000).naps, 0);
	}
}

static void test_an_answer_ends_the_naps(void **state)
{
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };
	struct pace p = { 0 };

	assert_true(follow(&p, &s, 100).naps);
	s.answered = true;
	follow(&p, &s, 1);
	assert_int_equal(follow(&p, &s, 1000).naps, 0);
	s.answered = false;
	assert_true(follow(&p, &s, 100).naps);
}

static void test_a_new_key_begins_a_new_window(void **state)
{
	struct pace p = { 0 };

	for (uint64_t i = 0; i < 20; i++)
		assert_false(pace_wait(&p, i * 8 * US, 1000 + i, 0, yes, 0));
	for (uint64_t i = 20; i < 52; i++)
		assert_false(pace_wait(&p, i * 8 * US, i - 20, 0, yes, 0));
	assert_true(pace_wait(&p, 52 * 8 * US, 32, 0, yes, 0));
}

/* ---- calls in a nap ---- */

#define KEY TLSULP_VERSION_1_3, TLSULP_AES_GCM_128

static int fd[2];
static struct tls_keys keys;
static volatile sig_atomic_t handled;

/* What a handler writes to the peer's end before the call returns. */
static uint8_t wire[TLS_WIRE_MAX];
static volatile size_t wire_len;

static void handle(int sig)
{
	handled++;
	if (wire_len)
		raw_write(fd[0], wire, wire_len);
	wire_len = 0;
}

/* The next waits nap, whatever comes. */
static void always_nap(void)
{
	struct conn *c = conn_pin(fd[1]);

	c->pace = (struct pace){
		.waits = 1, .windows = 1, .since_ns = FOR_EVER, .sent = session_written(c->session)
	};
	conn_unpin(c);
}

static size_t make_record(uint64_t seq)
{
	return record_seal(&keys, seq, TLSULP_DATA, (const uint8_t *)"word", 4, wire);
}

/* A handler is to run @first_us from now, and again much later should that have been in vain. */
static void set_alarm(suseconds_t first_us, suseconds_t again_us)
{
	struct itimerval it = { { 0, again_us }, { 0, first_us } };

	assert_int_equal(setitimer(ITIMER_REAL, &it, NULL), 0);
}

static void test_a_handler_ends_a_nap(void **state)
{
	struct sigaction act = { .sa_handler = handle };
	int in_vain = 0;
	char room[64];

	keys = home_rx_pair(fd, KEY);
	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	for (int i = 0; i < 100; i++) {
		always_nap();
		handled = 0;
		set_alarm(50, 50000);
		assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), 0), -1);
		assert_int_equal(errno, EINTR);
		set_alarm(0, 0);
		in_vain += handled > 1; /* it ran before the call had begun */
	}
	assert_true(in_vain < 50);
	home_close(fd);
}

static void test_what_came_in_a_nap_comes_before_the_handler(void **state)
{
	struct sigaction act = { .sa_handler = handle };
	char room[64];

	keys = home_rx_pair(fd, KEY);
	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	for (int i = 0; i < 100; i++) {
		always_nap();
		wire_len = make_record(i);
		set_alarm(50, 0);
		assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), 0), 4);
		assert_memory_equal(room, "word", 4);
		set_alarm(0, 0);
	}
	home_close(fd);
}

static void test_the_end_cuts_a_nap_short(void **state)
{
	char room[64];

	keys = home_rx_pair(fd, KEY);
	always_nap();
	raw_write(fd[0], wire, make_record(0));
	assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
	assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), 0), 4);
	assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), 0), 0);
	home_close(fd);
}

static void test_who_may_not_wait_does_not_nap(void **state)
{
	char room[64];

	keys = home_rx_pair(fd, KEY);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	for (int flags = 0; flags <= MSG_DONTWAIT; flags += MSG_DONTWAIT) {
		always_nap();
		assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), flags), -1);
		assert_int_equal(errno, EAGAIN);
	}
	home_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stream_that_naps_make_faster),
		cmocka_unit_test(test_a_stream_with_a_pace_of_its_own),
		cmocka_unit_test(test_what_is_left_alone),
		cmocka_unit_test(test_an_answer_ends_the_naps),
		cmocka_unit_test(test_a_new_key_begins_a_new_window),
		cmocka_unit_test(test_a_handler_ends_a_nap),
		cmocka_unit_test(test_what_came_in_a_nap_comes_before_the_handler),
		cmocka_unit_test(test_the_end_cuts_a_nap_short),
		cmocka_unit_test(test_who_may_not_wait_does_not_nap),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
