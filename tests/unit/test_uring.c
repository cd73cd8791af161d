// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* user/uring.h: a ring is found wherever it is among many descriptors, and the search costs little.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/uring.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY 10000
#define LOOK_MS 100
#define CPU_MAX 0.1 /* aimed at 0.001; each descriptor looked at each time, it is above this */

static int make_ring(void)
{
	struct io_uring_params params = { 0 };

	return syscall(SYS_io_uring_setup, 4, &params);
}

static void sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* As many numbers as there may be, up to MANY. */
static int open_many(void)
{
	struct rlimit limit;
	int last = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < MANY + 100 ? limit.rlim_max : MANY + 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (last < (int)limit.rlim_cur - 50)
		last = dup(0);
	return last;
}

/* What is seen is remembered: each story has a process of its own, which says 0. */
static void in_a_process(int (*story)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		alarm(90);
		_exit(story());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Looks go on while sockets get the ULP: is it found within a minute of them? */
static bool is_found(void)
{
	for (int i = 0; i < 60000 / LOOK_MS; i++) {
		if (uring_is_here())
			return true;
		sleep_ms(LOOK_MS);
	}
	return false;
}

static int no_ring(void)
{
	for (int i = 0; i < 5; i++) {
		if (uring_is_here())
			return 1;
		sleep_ms(LOOK_MS);
	}
	return 0;
}

static int ring_among_few(void)
{
	return make_ring() < 0 || !uring_is_here();
}

static int ring_made_later(void)
{
	if (uring_is_here() || make_ring() < 0)
		return 1;
	sleep_ms(2 * LOOK_MS);
	return !uring_is_here();
}

/* It was there before the first socket: no socket gets by. */
static int ring_among_many(void)
{
	open_many();
	return make_ring() < 0 || !uring_is_here();
}

static int ring_made_later_among_many(void)
{
	int last = open_many();

	close(last / 2);
	if (uring_is_here() || make_ring() != last / 2)
		return 1;
	return !is_found();
}

static int ring_in_a_child(void)
{
	pid_t pid;
	int status;

	if (uring_is_here())
		return 1;
	pid = fork();
	if (!pid) {
		sleep_ms(2 * LOOK_MS);
		_exit(make_ring() < 0 || !is_found());
	}
	return waitpid(pid, &status, 0) != pid || status || uring_is_here();
}

static void test_a_ring_is_found(void **state)
{
	int fd = make_ring();

	if (fd < 0)
		skip(); /* this kernel allows none */
	close(fd);
	in_a_process(no_ring);
	in_a_process(ring_among_few);
	in_a_process(ring_made_later);
	in_a_process(ring_among_many);
	in_a_process(ring_made_later_among_many);
	in_a_process(ring_in_a_child);
}

/* Sockets get the ULP all the time: what of it is the search? */
static int search_for_a_while(void)
{
	int rounds = 20;
	double start, used;

	open_many();
	uring_is_here();
	start = cpu_seconds();
	for (int i = 0; i < rounds; i++) {
		sleep_ms(LOOK_MS);
		uring_is_here();
	}
	used = (cpu_seconds() - start) / (rounds * LOOK_MS / 1e3);
	print_message("%d descriptors: %.4f of the CPU time\n", MANY, used);
	fflush(stdout);
	return used > CPU_MAX;
}

static void test_the_search_among_many_is_cheap(void **state)
{
	in_a_process(search_for_a_while);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ring_is_found),
		cmocka_unit_test(test_the_search_among_many_is_cheap),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
