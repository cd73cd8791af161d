// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a send into a full socket asks before it waits, and who has it asked again
 * (user/patience.h). */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/calls.h"
#include "user/real.h"
#include "user/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY TLSULP_VERSION_1_3, TLSULP_AES_GCM_128
#define BELIEVED 64 /* waits */

static int fd[2];
static char message[TLS_PAYLOAD_MAX];
static int asked, waited;
static bool makes_room; /* a wait does; else it is for nothing */
static void (*happens)(void); /* in the next wait */

static int (*libcs_fcntl)(int, int, ...);
static int (*libcs_poll)(struct pollfd *, nfds_t, int);

static int count_questions(int number, int cmd, ...)
{
	va_list args;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	asked += number == fd[0] && cmd == F_GETFL;
	return libcs_fcntl(number, cmd, arg);
}

static void drain(void)
{
	char room[65536];

	while (recv(fd[1], room, sizeof(room), MSG_DONTWAIT) > 0)
		;
}

static int count_waits(struct pollfd *p, nfds_t n, int ms)
{
	waited++;
	if (happens)
		happens();
	happens = NULL;
	if (makes_room)
		drain();
	return libcs_poll(p, n, ms);
}

static int begin(void **state)
{
	int small = 4096;

	home_tx_pair(fd, KEY, false);
	assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	asked = waited = 0;
	makes_room = true;
	happens = NULL;
	libcs_fcntl = real.fcntl;
	libcs_poll = real.poll;
	real.fcntl = count_questions;
	real.poll = count_waits;
	signals_init();
	return 0;
}

static int end(void **state)
{
	real.fcntl = libcs_fcntl;
	real.poll = libcs_poll;
	signals_can_wait = false;
	drain();
	home_close(fd);
	return 0;
}

/* The receiver's window, too: room comes no more by acknowledgements. */
static void fill(void)
{
	int small = 4096;

	makes_room = false;
	assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (int refused = 0; refused < 3;) {
		if (tlsulp_send(fd[0], message, sizeof(message), MSG_DONTWAIT) > 0) {
			refused = 0;
		} else {
			refused++;
			usleep(100000);
		}
	}
	waited = 0;
}

/* So many sends that had to wait; all of them get through. */
static void send_waiting(int times)
{
	for (int before = waited; waited < before + times;)
		assert_int_equal(tlsulp_send(fd[0], message, sizeof(message), 0), sizeof(message));
}

/* Until the socket is full: -1 and EAGAIN, and nobody has waited. */
static void send_until_refused(void)
{
	int before = waited;
	ssize_t n;

	for (int i = 0; i < 100; i++) {
		n = tlsulp_send(fd[0], message, sizeof(message), 0);
		if (n < 0)
			break;
	}
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(waited, before);
}

static void test_one_question_for_many_waits(void **state)
{
	send_waiting(10 * (BELIEVED + 1));
	assert_in_range(asked, 1, waited / (BELIEVED / 2));
}

static void test_fcntl(void **state)
{
	send_waiting(3);
	assert_int_equal(call_fcntl(fd[0], F_SETFL, (void *)(intptr_t)O_NONBLOCK), 0);
	send_until_refused();
	assert_int_equal(call_fcntl(fd[0], F_SETFL, NULL), 0);
	send_waiting(3);
}

static void test_ioctl(void **state)
{
	int on = 1;

	send_waiting(3);
	assert_int_equal(call_ioctl(fd[0], FIONBIO, &on), 0);
	send_until_refused();
}

static void test_another_number(void **state)
{
	int number = tlsulp_dup(fd[0]);

	send_waiting(3);
	assert_int_equal(call_fcntl(number, F_SETFL, (void *)(intptr_t)O_NONBLOCK), 0);
	send_until_refused();
	tlsulp_close(number);
}

static void test_another_process(void **state)
{
	int status;
	pid_t child;

	send_waiting(3);
	child = fork();
	if (!child)
		_exit(call_fcntl(fd[0], F_SETFL, (void *)(intptr_t)O_NONBLOCK));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	send_until_refused();
}

static void set_timeout(struct timeval timeout)
{
	assert_int_equal(
		tlsulp_setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
}

static void a_timeout_is_set(void)
{
	set_timeout((struct timeval){ .tv_usec = 20000 });
}

static void test_a_timeout(void **state)
{
	send_waiting(3);
	fill();
	a_timeout_is_set();
	assert_int_equal(tlsulp_send(fd[0], message, sizeof(message), 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(waited, 1);
}

/* Then each wait asks. */
static void test_with_a_timeout_nothing_is_known(void **state)
{
	set_timeout((struct timeval){ .tv_sec = 100 });
	send_waiting(10);
	assert_int_equal(asked, waited);
}

/* The call goes on without; what it knows is not the next one's. */
static void test_a_timeout_that_comes_in_a_wait(void **state)
{
	static char large[16 * sizeof(message)];
	int before;

	happens = a_timeout_is_set;
	assert_int_equal(tlsulp_send(fd[0], large, sizeof(large), 0), sizeof(large));
	assert_true(waited > 1);
	fill();
	before = asked;
	assert_int_equal(tlsulp_send(fd[0], message, sizeof(message), 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(asked,
			 before + 1); /* it is not a known one that waits for a slice first */
	assert_int_equal(waited, 1);
}

/* A process without the library has the socket, too: it is noticed after a slice of the wait. */
static void test_what_nobody_told(void **state)
{
	send_waiting(3);
	fill();
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(tlsulp_send(fd[0], message, sizeof(message), 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(waited, 1);
	assert_int_equal(tlsulp_send(fd[0], message, sizeof(message), 0), -1);
	assert_int_equal(waited, 1); /* once is enough */
}

static void test_a_flag_of_the_call(void **state)
{
	int before;

	send_waiting(3);
	before = waited;
	for (int i = 0; i < 100; i++)
		if (tlsulp_send(fd[0], message, sizeof(message), MSG_DONTWAIT) < 0)
			break;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(waited, before);
}

/* libc's fcntl() is not ours then. */
static void test_where_changes_are_not_seen(void **state)
{
	signals_can_wait = false;
	send_waiting(10);
	assert_int_equal(asked, waited);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_question_for_many_waits, begin, end),
		cmocka_unit_test_setup_teardown(test_fcntl, begin, end),
		cmocka_unit_test_setup_teardown(test_ioctl, begin, end),
		cmocka_unit_test_setup_teardown(test_another_number, begin, end),
		cmocka_unit_test_setup_teardown(test_another_process, begin, end),
		cmocka_unit_test_setup_teardown(test_a_timeout, begin, end),
		cmocka_unit_test_setup_teardown(test_with_a_timeout_nothing_is_known, begin, end),
		cmocka_unit_test_setup_teardown(test_a_timeout_that_comes_in_a_wait, begin, end),
		cmocka_unit_test_setup_teardown(test_what_nobody_told, begin, end),
		cmocka_unit_test_setup_teardown(test_a_flag_of_the_call, begin, end),
		cmocka_unit_test_setup_teardown(test_where_changes_are_not_seen, begin, end),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
