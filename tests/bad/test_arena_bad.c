// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The arena does not leak by killed processes; when it is full the setsockopt says ENOMEM. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/arena.h"
#include "user/conn.h"
#include "user/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define ROUNDS 10000
#define CONNS 250
#define LOST_MAX 8 /* a process killed under the arena's own lock loses one buffer */
#define WATCHDOG 110

static uint8_t text[16384];

/* Buffers that can still be had, in a table that is given back. */
static unsigned int free_buffers(void)
{
	static uint32_t all[100000];
	struct arena *a = arena_current();
	unsigned int n = 0;

	while (n < 100000 && (all[n] = arena_buffer_new(a)))
		n++;
	for (unsigned int i = n; i--;)
		arena_buffer_free(a, all[i], 0);
	return n;
}

static unsigned int used_sessions(void)
{
	uint32_t i = 0;
	unsigned int n = 0;

	while (arena_session_next(arena_current(), &i))
		n++;
	return n;
}

static void *close_both(void *arg)
{
	home_close(arg);
	return NULL;
}

/* A child for each connection, each killed some time while it sends. */
static void killed_while_sending(void)
{
	int fd[CONNS][2], alive[2];
	char c;
	pthread_t thread[CONNS];

	alarm(WATCHDOG); /* for this batch: a slow machine is not a hang */
	assert_int_equal(pipe(alive), 0);
	for (int i = 0; i < CONNS; i++)
		home_tx_pair(fd[i], V13, GCM, false);
	for (int i = 0; i < CONNS; i++) {
		pid_t pid = fork();

		/* Killed before it is known, its place is taken back after a minute only. */
		if (!pid && write(alive[1], "", 1) == 1)
			for (;;)
				tlsulp_send(fd[i][0], text, 16000, MSG_NOSIGNAL | MSG_DONTWAIT);
		assert_int_equal(read(alive[0], &c, 1), 1);
		usleep(i % 64 * 17);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	for (int i = 0; i < CONNS; i++)
		pthread_create(&thread[i], NULL, close_both, fd[i]);
	for (int i = 0; i < CONNS; i++)
		pthread_join(thread[i], NULL);
	close(alive[0]);
	close(alive[1]);
}

static void test_ten_thousand_forks_and_kills(void **state)
{
	unsigned int buffers = free_buffers(), sessions = used_sessions();
	const char *rounds = getenv("TLSULP_BAD_ROUNDS");
	int n = rounds ? atoi(rounds) : ROUNDS;

	for (int done = 0; done < n; done += CONNS)
		killed_while_sending();
	print_message("%d rounds: %d buffers and %d sessions lost\n", n,
		      (int)(buffers - free_buffers()), (int)(used_sessions() - sessions));
	assert_int_equal(used_sessions(), sessions);
	assert_true(buffers - free_buffers() <= LOST_MAX);
}

/* A child that says what became of its send, and waits for its end. */
static pid_t asking_child(int fd, int answer, char *got)
{
	pid_t pid = fork();

	if (!pid) {
		errno = 0;
		*got = tlsulp_send(fd, "c", 1, MSG_NOSIGNAL) == 1 ? 'y'
		       : errno == EBADF                           ? 'n'
								  : '?';
		if (write(answer, got, 1) == 1)
			pause();
		_exit(0);
	}
	return pid;
}

/*
 * 256 processes hold a session, and then no more: the next child gets EBADF, and
 * has done no harm. Those that were killed make room.
 */
static void test_more_processes_than_can_hold_it(void **state)
{
	pid_t pids[ARENA_PROCS + 20];
	unsigned int yes = 0, no = 0;
	int fd[2], answer[2];
	char got;

	home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(pipe(answer), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = asking_child(fd[0], answer[1], &got);
		assert_int_equal(read(answer[0], &got, 1), 1);
		yes += got == 'y';
		no += got == 'n';
	}
	assert_int_equal(yes + no, ARRAY_SIZE(pids));
	assert_int_equal(yes, ARENA_PROCS - 1);
	assert_int_equal(tlsulp_send(fd[0], "p", 1, 0), 1);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		kill(pids[i], SIGKILL);
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	}
	pids[0] = asking_child(fd[0], answer[1], &got);
	assert_int_equal(read(answer[0], &got, 1), 1);
	assert_int_equal(got, 'y');
	kill(pids[0], SIGKILL);
	waitpid(pids[0], NULL, 0);
	assert_int_equal(tlsulp_send(fd[0], "p", 1, 0), 1);
	home_close(fd);
	close(answer[0]);
	close(answer[1]);
}

static void test_a_full_arena_says_enomem(void **state)
{
	struct arena *a = arena_current();
	struct session **all = calloc(40000, sizeof(*all));
	int fd[2], n = 0;
	char c;

	home_connect(fd);
	while (n < 40000 && (all[n] = arena_session_new(a)))
		n++;
	errno = 0;
	assert_int_equal(tlsulp_setsockopt(fd[0], IPPROTO_TCP, TCP_ULP, "tls", 4), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(tlsulp_send(fd[0], "p", 1, 0), 1); /* it goes on as plain TCP */
	assert_int_equal(recv(fd[1], &c, 1, 0), 1);
	assert_int_equal(c, 'p');
	while (n--)
		arena_session_free(a, all[n]);
	home_attach(fd[0]);
	home_close(fd);
	free(all);
}

static void on_watchdog(int sig)
{
	_exit(sig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_thousand_forks_and_kills),
		cmocka_unit_test(test_more_processes_than_can_hold_it),
		cmocka_unit_test(test_a_full_arena_says_enomem),
	};

	home_start();
	signal(SIGALRM, on_watchdog);
	alarm(WATCHDOG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
