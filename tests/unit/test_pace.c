// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Naps of a receiver: for which streams (user/pace.h), and what becomes of a call in one. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/conn.h"
#include "user/pace.h"
#include "user/real.h"
#include "user/signals.h"
#include "user/wait.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS 200000
#define US 1000
#define FOR_EVER (INT64_MAX / 2)

/* A stream as the receiver meets it: what a record takes without naps and with them. */
struct stream {
	int64_t alone_ns, napping_ns;
	uint64_t each_wait; /* so many records between two waits, without naps */
	uint32_t answered_every; /* this side sends after so many waits; 0: never */
	bool jitter; /* records come irregularly */
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

/* Where the streams are: time, records and what this side has sent go on from one to the next. */
static struct {
	int64_t now;
	uint64_t records, sent;
} at;

static uint32_t seed;

/* 0 to 255, the same ones each time. */
static uint32_t any(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 24;
}

static struct outcome follow(struct pace *p, const struct stream *s, uint32_t waits)
{
	struct outcome o = { 0 };

	for (; o.waits < waits; o.waits++) {
		uint64_t n = s->each_wait;
		int64_t each = s->alone_ns;

		if (pace_wait(p, at.now, at.records, at.sent, s->is_near ? no : yes, 0)) {
			o.naps++;
			each = s->napping_ns;
			n = NAP_NS / each;
		}
		if (s->jitter)
			each = each / 2 + each * any() / 256;
		at.now += each * (int64_t)n;
		at.records += n;
		o.ns += each * (int64_t)n;
		o.records += n;
		at.sent += s->answered_every && o.waits % s->answered_every == 0;
	}
	return o;
}

static void test_a_stream_that_naps_make_faster(void **state)
{
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };

	for (int jitter = 0; jitter < 2; jitter++) {
		struct pace p = { 0 };
		struct outcome o;

		s.jitter = jitter;
		o = follow(&p, &s, 100);
		assert_true(o.naps > 10 && o.naps < 65); /* first it is looked at without */
		o = follow(&p, &s, 10000);
		assert_true(o.naps > 6000 && o.naps < 10000); /* and now and then again */
		assert_true(o.ns / (int64_t)o.records < 3300);
	}
}

static void test_a_stream_with_a_pace_of_its_own(void **state)
{
	struct stream s = { .alone_ns = 10 * US, .napping_ns = 10 * US, .each_wait = 1 };

	for (int jitter = 0; jitter < 2; jitter++) {
		struct pace p = { 0 };

		s.jitter = jitter;
		s.napping_ns = 10 * US;
		assert_true(follow(&p, &s, 100).naps);
		follow(&p, &s, 100000);
		assert_true(follow(&p, &s, 100000).naps < 200); /* ever less often */
		/* Once its sender is as quick as it is woken seldom, it is found out. */
		s.napping_ns = 4 * US;
		follow(&p, &s, 40000);
		assert_true(follow(&p, &s, 10000).naps > 6000);
	}
}

static void test_what_is_left_alone(void **state)
{
	static const struct stream streams[] = {
		{ .alone_ns = 45 * US, .napping_ns = 5 * US, .each_wait = 1 }, /* slow */
		{ .alone_ns = 3 * US, .napping_ns = 1 * US, .each_wait = 20 }, /* seldom woken */
		{ .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1, .answered_every = 1 },
		{ .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1, .is_near = true },
	};

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct pace p = { 0 };

		assert_int_equal(follow(&p, &streams[i], 20000).naps, 0);
	}
}

/* Each answer is a nap late, which no window tells. */
static void test_answers_soon_after_naps_begin(void **state)
{
	struct stream s = { .alone_ns = 10 * US, .napping_ns = 3 * US, .each_wait = 1 };

	/* From 46 on, windows with naps have their end before the answer. */
	for (s.answered_every = 34; s.answered_every < 46; s.answered_every++) {
		struct pace p = { 0 };

		assert_true(follow(&p, &s, 20000).naps);
		/* At most one more look. */
		assert_in_range(follow(&p, &s, 20000).naps, 0, s.answered_every - 33);
	}
}

static void test_an_answer_ends_the_naps(void **state)
{
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };
	struct pace p = { 0 };

	assert_true(follow(&p, &s, 100).naps);
	s.answered_every = 1;
	follow(&p, &s, 1);
	assert_int_equal(follow(&p, &s, 1000).naps, 0);
	s.answered_every = 0;
	assert_true(follow(&p, &s, 300).naps);
}

static void test_a_gap_is_no_reason_to_stop(void **state)
{
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };
	struct pace p = { 0 };
	uint32_t naps = 0;

	follow(&p, &s, 1000);
	for (int i = 0; i < 100; i++) {
		naps += follow(&p, &s, 200).naps;
		at.now += 3000 * US;
	}
	assert_true(naps > 10000);
}

static void test_an_idle_time_says_nothing_of_the_stream(void **state)
{
	struct stream quick = { .alone_ns = 8 * US, .napping_ns = 8 * US, .each_wait = 1 };
	struct pace p = { 0 };

	for (int i = 0; i < 100; i++) {
		assert_int_equal(follow(&p, &quick, 30).naps, 0);
		at.now += 1000000 * US;
	}
	assert_int_equal(p.alone_ns, 0);
}

static void test_what_another_phase_was_like_is_forgotten(void **state)
{
	struct stream s = { .alone_ns = 30 * US, .napping_ns = 30 * US, .each_wait = 1 };
	struct pace p = { 0 };
	uint32_t naps;

	assert_true(follow(&p, &s, 60).naps);
	s.alone_ns = s.napping_ns = 10 * US;
	naps = follow(&p, &s, 1000).naps;
	assert_in_range(naps, 1, 20);
}

/* Also by a dialogue that begins when a look without naps is about to. */
static void test_a_dialogue_forgets_the_stream_before_it(void **state)
{
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };
	struct pace p = { 0 };

	while (!p.trust || p.windows)
		follow(&p, &s, 1);
	s.answered_every = 1;
	follow(&p, &s, 100);
	assert_true(!p.trust && !p.alone_ns && !p.napping_ns);
}

/* What the machine does in one window is not the stream's. */
static void test_one_slow_window_is_no_proof(void **state)
{
	struct stream s = { .alone_ns = 10 * US, .napping_ns = 10 * US, .each_wait = 1 };
	struct pace p = { 0 };
	uint32_t naps = 0;

	for (int i = 0; i < 200000; i++) {
		struct outcome o = follow(&p, &s, 1);

		naps += o.naps;
		if (!p.pause && p.waits == 5 && !p.windows && any() < 64) /* one in four */
			at.now += 30 * US + any() * US;
	}
	assert_in_range(naps, 1, 200000 / 64);
}

static void test_naps_of_coarse_timers_are_rare(void **state)
{
	struct pace p = { 0 };
	struct stream s = { .alone_ns = 8 * US, .napping_ns = 3 * US, .each_wait = 1 };
	uint32_t naps = 0;

	for (int i = 0; i < 100000; i++) {
		if (!follow(&p, &s, 1).naps)
			continue;
		naps++;
		pace_napped(&p, 10000 * US);
	}
	assert_in_range(naps, 2, 14);
}

static void test_a_new_key_begins_a_new_window(void **state)
{
	struct pace p = { 0 };

	for (uint64_t i = 0; i < 20; i++)
		assert_false(pace_wait(&p, i * 10 * US, 1000 + i, 0, yes, 0));
	for (uint64_t i = 20; i < 52; i++)
		assert_false(pace_wait(&p, i * 10 * US, i - 20, 0, yes, 0));
	assert_true(pace_wait(&p, 52 * 10 * US, 32, 0, yes, 0));
}

/* ---- calls in a nap ---- */

#define KEY TLSULP_VERSION_1_3, TLSULP_AES_GCM_128

static int fd[2], other[2];
static struct tls_keys keys;
static uint8_t wire[TLS_WIRE_MAX];
static int naps, handled;
/* What happens in the first nap, and what ppoll() says of it. */
static void (*happens)(void);
static int says;

static void handle(int sig)
{
	handled++;
}

static int nap(struct pollfd *p, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	assert_int_equal(n, 1);
	assert_int_equal(p->fd, fd[1]);
	assert_true(timeout->tv_sec == 0 && timeout->tv_nsec <= NAP_NS);
	naps++;
	happens();
	errno = EINTR;
	return says;
}

static void handler_runs(void)
{
	raise(SIGUSR1);
}

static void record_comes(void)
{
	size_t n = record_seal(&keys, 0, TLSULP_DATA, (const uint8_t *)"word", 4, wire);

	raw_write(fd[0], wire, n);
}

static void record_and_handler(void)
{
	record_comes();
	handler_runs();
}

static void closed_by_another(void)
{
	assert_int_equal(tlsulp_close(fd[1]), 0);
	record_comes();
}

static void used_again(void)
{
	home_connect(other);
	assert_int_equal(tlsulp_dup2(other[1], fd[1]), fd[1]);
	record_comes();
}

static void peer_ends(void)
{
	assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
}

static char room[64];

/* A recv() that is to nap, in which @what happens. */
static ssize_t call(int flags, void (*what)(void), int result)
{
	struct conn *c = conn_pin(fd[1]);
	int (*libcs)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *) =
		real.ppoll;
	ssize_t got;
	int err;

	c->pace = (struct pace){
		.waits = 1, .windows = 1, .since_ns = FOR_EVER, .sent = session_written(c->session)
	};
	conn_unpin(c);
	naps = handled = 0;
	happens = what;
	says = result;
	real.ppoll = nap;
	got = tlsulp_recv(fd[1], room, sizeof(room), flags);
	err = errno;
	real.ppoll = libcs;
	errno = err;
	return got;
}

static void set_handler(int flags)
{
	struct sigaction act = { .sa_handler = handle, .sa_flags = flags };

	assert_int_equal(sigaction(SIGUSR1, &act, NULL), 0);
}

/* By way of the library, which then knows which handlers have run. */
static void set_counted_handler(int flags)
{
	struct sigaction act = { .sa_handler = handle, .sa_flags = flags };

	signals_init();
	assert_int_equal(signals_sigaction(SIGUSR1, &act, NULL), 0);
}

static void test_a_handler_ends_a_nap_and_the_call(void **state)
{
	keys = home_rx_pair(fd, KEY);
	set_handler(0);
	assert_int_equal(call(0, handler_runs, -1), -1);
	assert_int_equal(errno, EINTR);
	assert_true(naps == 1 && handled == 1);
	home_close(fd);
}

static void test_what_came_before_the_handler_is_returned(void **state)
{
	keys = home_rx_pair(fd, KEY);
	set_handler(0);
	assert_int_equal(call(0, record_and_handler, -1), 4);
	assert_memory_equal(room, "word", 4);
	assert_true(naps == 1 && handled == 1);
	home_close(fd);
}

static void *comes_late(void *unused)
{
	usleep(20000);
	record_comes();
	return NULL;
}

static pthread_t thread;

static void handler_runs_and_record_comes_late(void)
{
	handler_runs();
	assert_int_equal(pthread_create(&thread, NULL, comes_late, NULL), 0);
}

static void test_a_handler_with_sa_restart_ends_only_the_nap(void **state)
{
	keys = home_rx_pair(fd, KEY);
	set_counted_handler(SA_RESTART);
	assert_int_equal(call(0, handler_runs_and_record_comes_late, -1), 4);
	assert_true(naps == 1 && handled == 1);
	pthread_join(thread, NULL);
	signals_can_wait = false;
	home_close(fd);
}

static void test_a_handler_beside_a_nap_ends_the_call(void **state)
{
	keys = home_rx_pair(fd, KEY);
	set_counted_handler(0);
	assert_int_equal(call(0, handler_runs, 0), -1);
	assert_int_equal(errno, EINTR);
	assert_true(naps == 1 && handled == 1);
	assert_int_equal(call(0, record_and_handler, 0), 4);
	assert_true(naps == 1 && handled == 1);
	signals_can_wait = false;
	home_close(fd);
}

static void test_the_end_in_a_nap(void **state)
{
	keys = home_rx_pair(fd, KEY);
	assert_int_equal(call(0, peer_ends, 1), 0);
	assert_int_equal(naps, 1);
	home_close(fd);
}

/* The real one, which would take its time. */
static void test_the_end_cuts_a_nap_short(void **state)
{
	struct timespec none = { 0, 0 };
	int64_t quickest = NAP_NS;

	keys = home_rx_pair(fd, KEY);
	peer_ends();
	for (struct pollfd p = { fd[1], POLLRDHUP, 0 }; !ppoll(&p, 1, &none, NULL);)
		;
	for (int i = 0; i < 1000; i++) {
		int64_t from = wait_now_ns(), took;

		assert_false(wait_nap(fd[1]));
		took = wait_now_ns() - from;
		quickest = took < quickest ? took : quickest;
	}
	assert_true(quickest < 100 * US); /* a whole one takes 150 at the least */
	home_close(fd);
}

static void test_the_number_is_closed_in_a_nap(void **state)
{
	keys = home_rx_pair(fd, KEY);
	assert_int_equal(call(0, closed_by_another, 1), 4);
	assert_memory_equal(room, "word", 4);
	assert_int_equal(naps, 1);
	close(fd[0]);
}

static void test_the_number_is_used_again_in_a_nap(void **state)
{
	keys = home_rx_pair(fd, KEY);
	assert_int_equal(call(0, used_again, 1), 4);
	assert_memory_equal(room, "word", 4);
	assert_int_equal(naps, 1);
	close(fd[0]);
	close(fd[1]);
	close(other[0]);
	close(other[1]);
}

static int refused_fcntl(int number, int cmd, ...)
{
	errno = EPERM;
	return -1;
}

/* No processor is this one. */
static int from_afar(int number, int level, int option, void *value, socklen_t *len)
{
	assert_int_equal(option, SO_INCOMING_CPU);
	*(int *)value = -1;
	return 0;
}

/* Are naps tried after the first window of a quick stream? */
static bool are_tried(void)
{
	int (*libcs)(int, int, int, void *, socklen_t *) = real.getsockopt;
	struct conn *c;
	bool tried;

	keys = home_rx_pair(fd, KEY);
	c = conn_pin(fd[1]);
	c->session->rx.engine.keys.seq = keys.seq = 1 << 22;
	record_comes();
	/* So many that they are quick, however slow this test is. */
	c->pace = (struct pace){ .waits = 1 << 20,
				 .since_ns = wait_now_ns() - 1000 * US,
				 .sent = session_written(c->session) };
	real.getsockopt = from_afar;
	assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), 0), 4);
	real.getsockopt = libcs;
	tried = c->pace.windows == 1;
	assert_true(tried == !c->pace.pause);
	conn_unpin(c);
	home_close(fd);
	return tried;
}

static void test_naps_are_tried(void **state)
{
	signals_init();
	assert_true(are_tried());
	signals_can_wait = false;
}

/* Whether it may wait cannot be told: it does as it did before there were naps. */
static void test_without_fcntl_nothing_is_tried(void **state)
{
	int (*libcs)(int, int, ...) = real.fcntl;

	signals_init();
	real.fcntl = refused_fcntl;
	assert_false(are_tried());
	real.fcntl = libcs;
	signals_can_wait = false;
}

/* A nap would end by handlers that a socket call goes on after. */
static void test_where_handlers_are_not_known_nothing_is_tried(void **state)
{
	assert_false(are_tried());
}

static void test_who_may_not_wait_does_not_nap(void **state)
{
	keys = home_rx_pair(fd, KEY);
	assert_int_equal(call(MSG_DONTWAIT, handler_runs, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(naps, 0);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(call(0, handler_runs, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(naps, 0);
	home_close(fd);
}

static int begin(void **state)
{
	memset(&at, 0, sizeof(at));
	seed = 1;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_stream_that_naps_make_faster, begin),
		cmocka_unit_test_setup(test_a_stream_with_a_pace_of_its_own, begin),
		cmocka_unit_test_setup(test_what_is_left_alone, begin),
		cmocka_unit_test_setup(test_answers_soon_after_naps_begin, begin),
		cmocka_unit_test_setup(test_an_answer_ends_the_naps, begin),
		cmocka_unit_test_setup(test_a_gap_is_no_reason_to_stop, begin),
		cmocka_unit_test_setup(test_an_idle_time_says_nothing_of_the_stream, begin),
		cmocka_unit_test_setup(test_what_another_phase_was_like_is_forgotten, begin),
		cmocka_unit_test_setup(test_a_dialogue_forgets_the_stream_before_it, begin),
		cmocka_unit_test_setup(test_one_slow_window_is_no_proof, begin),
		cmocka_unit_test_setup(test_naps_of_coarse_timers_are_rare, begin),
		cmocka_unit_test_setup(test_a_new_key_begins_a_new_window, begin),
		cmocka_unit_test_setup(test_a_handler_ends_a_nap_and_the_call, begin),
		cmocka_unit_test_setup(test_what_came_before_the_handler_is_returned, begin),
		cmocka_unit_test_setup(test_a_handler_with_sa_restart_ends_only_the_nap, begin),
		cmocka_unit_test_setup(test_a_handler_beside_a_nap_ends_the_call, begin),
		cmocka_unit_test_setup(test_the_end_in_a_nap, begin),
		cmocka_unit_test_setup(test_the_end_cuts_a_nap_short, begin),
		cmocka_unit_test_setup(test_the_number_is_closed_in_a_nap, begin),
		cmocka_unit_test_setup(test_the_number_is_used_again_in_a_nap, begin),
		cmocka_unit_test_setup(test_naps_are_tried, begin),
		cmocka_unit_test_setup(test_without_fcntl_nothing_is_tried, begin),
		cmocka_unit_test_setup(test_where_handlers_are_not_known_nothing_is_tried, begin),
		cmocka_unit_test_setup(test_who_may_not_wait_does_not_nap, begin),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
