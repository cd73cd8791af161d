// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* user/process.h: every kind of child knows that it is one. */
#include "tests/unit/unit.h"

#include "user/process.h"
#include "user/real.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int child_says(pid_t child)
{
	int status;

	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* 0 if all that a fresh child must know is so; else which check failed. */
static int look_around(void)
{
	if (process_is_vfork_child())
		return 1;
	if (!process_forked())
		return 2;
	if (process_forked())
		return 3;
	if (process_pid() != (pid_t)syscall(SYS_getpid))
		return 4;
	if (process_tid() != (pid_t)syscall(SYS_gettid))
		return 5;
	return 0;
}

static void test_this_process_was_not_forked(void **state)
{
	assert_false(process_forked());
	assert_false(process_is_vfork_child());
	assert_int_equal(process_pid(), getpid());
	assert_int_equal(process_tid(), gettid());
}

static void test_a_fork_child_is_told_once(void **state)
{
	pid_t child = fork();

	if (!child)
		_exit(look_around());
	assert_int_equal(child_says(child), 0);
	assert_false(process_forked());
}

/* No atfork handler runs here. */
static void test_a_raw_clone_child_is_told_once(void **state)
{
	long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!child)
		_exit(look_around());
	assert_int_equal(child_says(child), 0);
	assert_false(process_forked());
}

static void test_a_grandchild_is_told_once(void **state)
{
	pid_t child = fork(), grandchild;

	if (!child) {
		int bad = look_around();

		grandchild = fork();
		if (!grandchild)
			_exit(look_around());
		waitpid(grandchild, &bad, 0);
		_exit(bad ? 9 : 0);
	}
	assert_int_equal(child_says(child), 0);
}

static void test_a_vfork_child_knows_and_changes_nothing(void **state)
{
	static volatile int seen;
	pid_t child;

	skip_if_signals_are_late(); /* and vfork() is fork() */
	seen = 0;
	child = vfork();
	if (!child) {
		seen = process_is_vfork_child() ? 1 : 2;
		_exit(0);
	}
	assert_int_equal(child_says(child), 0);
	assert_int_equal(seen, 1);
	assert_false(process_forked());
	assert_false(process_is_vfork_child());
	assert_int_equal(process_pid(), getpid());
}

static void *own_tid(void *arg)
{
	return process_tid() == gettid() && process_tid() != *(pid_t *)arg ? NULL : "wrong";
}

static void test_each_thread_has_its_tid(void **state)
{
	pid_t main_tid = process_tid();
	pthread_t thread;
	void *wrong;

	pthread_create(&thread, NULL, own_tid, &main_tid);
	pthread_join(thread, &wrong);
	assert_null(wrong);
}

static void test_start_time_whatever_the_name(void **state)
{
	static const char *const names[] = { "plain", "with space", "a) R 1 2 3", "((", ")))" };
	uint64_t start = process_start(getpid());
	char before[16];

	assert_true(start > 0);
	prctl(PR_GET_NAME, before);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		prctl(PR_SET_NAME, names[i]);
		assert_true(process_start(getpid()) == start);
	}
	prctl(PR_SET_NAME, before);
}

static void test_alive(void **state)
{
	uint64_t start = process_start(getpid());

	assert_true(process_alive(getpid(), start));
	assert_true(process_alive(getpid(), 0));
	assert_false(process_alive(getpid(), start + 1));
	assert_true(process_alive(1, 0));
}

static void test_dead(void **state)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	child_says(child);
	assert_false(process_alive(child, 0));
	assert_true(process_start(child) == 0);
}

/* It holds no descriptor any more, though nobody has waited for it. */
static void test_a_zombie_is_not_alive(void **state)
{
	pid_t child = fork();
	siginfo_t info;

	if (!child)
		_exit(0);
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	assert_false(process_alive(child, process_start(child)));
	waitpid(child, NULL, 0);
}

static int setup(void **state)
{
	real_init();
	process_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_this_process_was_not_forked),
		cmocka_unit_test(test_a_fork_child_is_told_once),
		cmocka_unit_test(test_a_raw_clone_child_is_told_once),
		cmocka_unit_test(test_a_grandchild_is_told_once),
		cmocka_unit_test(test_a_vfork_child_knows_and_changes_nothing),
		cmocka_unit_test(test_each_thread_has_its_tid),
		cmocka_unit_test(test_start_time_whatever_the_name),
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_dead),
		cmocka_unit_test(test_a_zombie_is_not_alive),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
