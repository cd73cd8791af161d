// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* user/lock.h: one holder at a time, in threads and processes; a dead one is reported, once. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/lock.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
#define ROUNDS 20000

static struct shared {
	struct lock lock;
	volatile uint32_t inside, count, overlaps;
	volatile uint32_t stage;
} * shared;

static void sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Plain additions that lose counts, and see each other, unless the lock keeps them apart. */
static void *work(void *unused)
{
	struct lock_guard g;

	for (int i = 0; i < ROUNDS; i++) {
		lock_block_signals(&g);
		lock_take(&shared->lock);
		if (shared->inside)
			shared->overlaps++;
		shared->inside = 1;
		shared->count++;
		shared->inside = 0;
		lock_drop(&shared->lock);
		lock_restore_signals(&g);
	}
	return NULL;
}

static void test_threads_keep_each_other_out(void **state)
{
	pthread_t thread[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, NULL), 0);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(shared->count, WORKERS * ROUNDS);
	assert_int_equal(shared->overlaps, 0);
	assert_int_equal(shared->lock.word, 0);
}

static pid_t fork_to(void (*run)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		alarm(20);
		run();
		_exit(0);
	}
	return pid;
}

static void work_once(void)
{
	work(NULL);
}

static void test_processes_keep_each_other_out(void **state)
{
	pid_t child[WORKERS];
	int status;

	for (int i = 0; i < WORKERS; i++)
		child[i] = fork_to(work_once);
	for (int i = 0; i < WORKERS; i++) {
		waitpid(child[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(shared->count, WORKERS * ROUNDS);
	assert_int_equal(shared->overlaps, 0);
}

static void die_inside(void)
{
	struct lock_guard g;

	lock_block_signals(&g);
	lock_take(&shared->lock);
	raise(SIGKILL);
}

static void test_a_dead_holder_is_told_of_once(void **state)
{
	int status;

	waitpid(fork_to(die_inside), &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(lock_take(&shared->lock), -EOWNERDEAD);
	lock_drop(&shared->lock);
	assert_int_equal(lock_take(&shared->lock), 0);
	lock_drop(&shared->lock);
}

static void take_after_death(void)
{
	pid_t child = fork_to(die_inside);
	siginfo_t info;

	alarm(5);
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	_exit(lock_take(&shared->lock) == -EOWNERDEAD ? 0 : 1);
}

/* A parent that has not waited for its child may want the lock that the child died with. */
static void test_a_zombie_is_dead_too(void **state)
{
	int status;

	waitpid(fork_to(take_after_death), &status, 0);
	assert_int_equal(status, 0); /* SIGALRM: it waited for ever */
}

static void *die_as_thread(void *unused)
{
	lock_take(&shared->lock);
	return NULL;
}

static void test_a_thread_that_ended_inside_is_dead_too(void **state)
{
	pthread_t thread;

	pthread_create(&thread, NULL, die_as_thread, NULL);
	pthread_join(thread, NULL);
	assert_int_equal(lock_take(&shared->lock), -EOWNERDEAD);
	lock_drop(&shared->lock);
}

static void take_and_exit(void)
{
	_exit(lock_take(&shared->lock) == -EOWNERDEAD ? 1 : 0);
}

/* Each of them gets the lock in turn from one that died; nobody waits for ever. */
static void test_only_one_of_many_waiters_is_told(void **state)
{
	pid_t killed = fork_to(die_inside), child[WORKERS];
	int status, told = 0;

	waitpid(killed, &status, 0);
	for (int i = 0; i < WORKERS; i++)
		child[i] = fork_to(work_once);
	sleep_ms(20);
	for (int i = 0; i < WORKERS; i++)
		waitpid(child[i], &status, 0);
	killed = fork_to(take_and_exit);
	waitpid(killed, &status, 0);
	told = WEXITSTATUS(status);
	assert_int_equal(told, 0); /* the workers had been told before */
	assert_int_equal(lock_take(&shared->lock), -EOWNERDEAD); /* of the one that just left */
	lock_drop(&shared->lock);
	assert_int_equal(shared->count, WORKERS * ROUNDS);
}

static void hold_for_long(void)
{
	struct lock_guard g;

	lock_block_signals(&g);
	lock_take(&shared->lock);
	shared->stage = 1;
	sleep_ms(1200);
	shared->stage = 2;
	lock_drop(&shared->lock);
	lock_restore_signals(&g);
}

static void test_a_slow_holder_is_not_dead(void **state)
{
	pid_t child = fork_to(hold_for_long);

	while (!shared->stage)
		sleep_ms(1);
	assert_int_equal(lock_take(&shared->lock), 0);
	assert_int_equal(shared->stage, 2);
	lock_drop(&shared->lock);
	waitpid(child, NULL, 0);
}

static void hold_briefly(void)
{
	lock_take(&shared->lock);
	shared->stage = 1;
	sleep_ms(100);
	lock_drop(&shared->lock);
}

static void test_a_waiter_wakes_at_once(void **state)
{
	pid_t child = fork_to(hold_briefly);
	double start;

	while (!shared->stage)
		sleep_ms(1);
	start = now();
	assert_int_equal(lock_take(&shared->lock), 0);
	assert_true(now() - start < 0.4);
	lock_drop(&shared->lock);
	waitpid(child, NULL, 0);
}

static void test_all_waiters_wake_one_after_the_other(void **state)
{
	pid_t child[WORKERS];
	double start;

	lock_take(&shared->lock);
	for (int i = 0; i < WORKERS; i++)
		child[i] = fork_to(work_once);
	sleep_ms(50);
	start = now();
	lock_drop(&shared->lock);
	for (int i = 0; i < WORKERS; i++)
		waitpid(child[i], NULL, 0);
	assert_int_equal(shared->count, WORKERS * ROUNDS);
	assert_true(now() - start < 15);
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	signals++;
}

static void test_signals_wait_outside(void **state)
{
	struct lock_guard g;
	sigset_t before, after;

	skip_if_signals_are_late();
	signal(SIGUSR1, on_signal);
	signals = 0;
	sigprocmask(SIG_SETMASK, NULL, &before);
	lock_block_signals(&g);
	raise(SIGUSR1);
	assert_int_equal(signals, 0);
	errno = ENOTTY;
	lock_restore_signals(&g);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(signals, 1);
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int sig = 1; sig < 65; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

static void test_faults_are_never_blocked(void **state)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	struct lock_guard g;
	sigset_t now_blocked;

	lock_block_signals(&g);
	sigprocmask(SIG_SETMASK, NULL, &now_blocked);
	lock_restore_signals(&g);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		assert_int_equal(sigismember(&now_blocked, faults[i]), 0);
	assert_int_equal(sigismember(&now_blocked, SIGTERM), 1);
	assert_int_equal(sigismember(&now_blocked, SIGALRM), 1);
}

static int fresh(void **state)
{
	memset(shared, 0, sizeof(*shared));
	return 0;
}

static int setup(void **state)
{
	home_start();
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_threads_keep_each_other_out, fresh),
		cmocka_unit_test_setup(test_processes_keep_each_other_out, fresh),
		cmocka_unit_test_setup(test_a_dead_holder_is_told_of_once, fresh),
		cmocka_unit_test_setup(test_a_thread_that_ended_inside_is_dead_too, fresh),
		cmocka_unit_test_setup(test_only_one_of_many_waiters_is_told, fresh),
		cmocka_unit_test_setup(test_a_slow_holder_is_not_dead, fresh),
		cmocka_unit_test_setup(test_a_waiter_wakes_at_once, fresh),
		cmocka_unit_test_setup(test_all_waiters_wake_one_after_the_other, fresh),
		cmocka_unit_test_setup(test_signals_wait_outside, fresh),
		cmocka_unit_test_setup(test_faults_are_never_blocked, fresh),
		cmocka_unit_test_setup(test_a_zombie_is_dead_too, fresh),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
