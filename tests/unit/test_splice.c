// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * splice() between pipes and connections, by both ways that pipe.c has: RWF_NOWAIT, and
 * vmsplice() where a kernel refuses that.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/home.h"
#include "tests/unit/pipes.h"

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define PIPE_SIZE 65536

static uint8_t text[200000], got[200000];

static void close_pipe(int pipes[2])
{
	close(pipes[0]);
	close(pipes[1]);
}

/* What one call moves is one record, or full ones and the rest. */
static void test_a_pipe_into_records(void **state)
{
	static const size_t sizes[] = { 1, 64, 5000, 16384, 16385, 50000, PIPE_SIZE };
	struct tls_keys k;
	int fd[2], pipes[2];

	k = home_tx_pair(fd, V13, GCM, false);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t at = 0;

		assert_int_equal(pipe(pipes), 0);
		assert_int_equal(write(pipes[1], text, sizes[i]), sizes[i]);
		/* More than there is: it does not wait for that. */
		assert_int_equal(into(pipes[0], fd[0], sizes[i] + 1000, 0), sizes[i]);
		while (at < sizes[i]) {
			size_t left = sizes[i] - at;
			uint8_t type;

			assert_int_equal(raw_record(fd[1], &k, got, &type),
					 left < 16384 ? left : 16384);
			assert_memory_equal(got, text + at, left < 16384 ? left : 16384);
			at += left < 16384 ? left : 16384;
		}
		close_pipe(pipes);
	}
	home_close(fd);
}

static void test_more_keeps_the_record_open(void **state)
{
	struct tls_keys k;
	int fd[2], pipes[2];
	uint8_t type;

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], text, 300), 300);
	assert_int_equal(into(pipes[0], fd[0], 100, SPLICE_F_MORE), 100);
	assert_true(raw_is_empty(fd[1]));
	assert_int_equal(into(pipes[0], fd[0], 200, 0), 200);
	assert_int_equal(raw_record(fd[1], &k, got, &type), 300);
	assert_memory_equal(got, text, 300);
	close_pipe(pipes);
	home_close(fd);
}

static void test_an_empty_pipe_and_its_end(void **state)
{
	int fd[2], pipes[2];

	home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(pipe(pipes), 0);
	assert_fails(into(pipes[0], fd[0], 100, SPLICE_F_NONBLOCK), EAGAIN);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	assert_fails(into(pipes[0], fd[0], 100, 0), EAGAIN);
	close(pipes[1]);
	assert_int_equal(into(pipes[0], fd[0], 100, 0), 0);
	close(pipes[0]);
	assert_fails(into(fd[1], fd[0], 100, 0), EINVAL);
	home_close(fd);
}

static void *write_late(void *pipe)
{
	usleep(50000);
	assert_int_equal(write(*(int *)pipe, text, 100), 100);
	return NULL;
}

static void test_it_waits_for_the_pipe(void **state)
{
	struct tls_keys k;
	int fd[2], pipes[2];
	pthread_t thread;
	uint8_t type;

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(pipe(pipes), 0);
	pthread_create(&thread, NULL, write_late, &pipes[1]);
	assert_int_equal(into(pipes[0], fd[0], 1000, 0), 100);
	pthread_join(thread, NULL);
	assert_int_equal(raw_record(fd[1], &k, got, &type), 100);
	close_pipe(pipes);
	home_close(fd);
}

static void test_records_into_a_pipe(void **state)
{
	static const size_t sizes[] = { 1, 64, 5000, 16384 };
	int fd[2], pipes[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(pipe(pipes), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (int n = 0; n < 3; n++) /* a run of them */
			assert_int_equal(tlsulp_send(fd[0], text + n, sizes[i], 0), sizes[i]);
		for (int n = 0; n < 3; n++) {
			/* At most one record, and no more than was asked for. */
			size_t first = sizes[i] > 7 ? 7 : sizes[i];

			assert_int_equal(out_of(fd[1], pipes[1], first, 0), first);
			if (first < sizes[i])
				assert_int_equal(out_of(fd[1], pipes[1], PIPE_SIZE, 0),
						 sizes[i] - first);
			assert_int_equal(read(pipes[0], got, PIPE_SIZE), sizes[i]);
			assert_memory_equal(got, text + n, sizes[i]);
		}
		assert_fails(out_of(fd[1], pipes[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	}
	tlsulp_shutdown(fd[0], SHUT_WR);
	assert_int_equal(out_of(fd[1], pipes[1], 1, 0), 0);
	close_pipe(pipes);
	home_close(fd);
}

static int polls(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return tlsulp_poll(&p, 1, 0);
}

/* What a full pipe does not take comes with the next call of any kind, and poll() knows of it. */
static void full_pipe(size_t size, bool shared)
{
	int fd[2], pipes[2], go[2];
	size_t at = 0;
	pid_t child = 0;

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(pipe(pipes) | pipe(go), 0);
	if (shared && !(child = fork())) {
		close(go[1]);
		_exit(read(go[0], got, 1) != 0);
	}
	for (int n = 0; n < 12; n++)
		assert_int_equal(tlsulp_send(fd[0], text + n * size, size, 0), size);
	assert_int_equal(fcntl(pipes[1], F_SETPIPE_SZ, 4096), 4096);
	while (at < 12 * size) {
		ssize_t n = out_of(fd[1], pipes[1], size, SPLICE_F_NONBLOCK);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_int_equal(polls(fd[1]), 1);
			assert_fails(out_of(fd[1], pipes[1], size, SPLICE_F_NONBLOCK), EAGAIN);
			assert_true(read(pipes[0], got, sizeof(got)) > 0);
			continue;
		}
		at += n;
		if (n < (ssize_t)size && at < 12 * size) {
			/* A part of a record went: recv() gets what follows. */
			assert_int_equal(tlsulp_recv(fd[1], got, 1, MSG_PEEK), 1);
			assert_int_equal(got[0], text[at]);
			assert_int_equal(tlsulp_recv(fd[1], got, 1, 0), 1);
			assert_int_equal(got[0], text[at]);
			at++;
		}
	}
	assert_int_equal(polls(fd[1]), 0);
	close_pipe(go);
	if (shared)
		waitpid(child, NULL, 0);
	close_pipe(pipes);
	home_close(fd);
}

static void test_a_full_pipe_loses_nothing(void **state)
{
	static const size_t sizes[] = { 100, 1000, 4096, 5000, 16384 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		full_pipe(sizes[i], false);
		full_pipe(sizes[i], true);
	}
}

static void *read_late(void *pipe)
{
	usleep(50000);
	assert_true(read(*(int *)pipe, got, sizeof(got)) > 0);
	return NULL;
}

static void test_it_waits_for_a_full_pipe(void **state)
{
	int fd[2], pipes[2];
	pthread_t thread;

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], text, PIPE_SIZE), PIPE_SIZE);
	assert_int_equal(tlsulp_send(fd[0], text, 100, 0), 100);
	pthread_create(&thread, NULL, read_late, &pipes[0]);
	assert_int_equal(out_of(fd[1], pipes[1], 100, 0), 100);
	pthread_join(thread, NULL);
	close_pipe(pipes);
	home_close(fd);
}

static void test_a_pipe_open_for_both_ways(void **state)
{
	struct tls_keys k;
	int fd[2], pipes[2], both;
	char name[40];
	uint8_t type;

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(pipe(pipes), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", pipes[0]);
	both = open(name, O_RDWR);
	assert_true(both >= 0);
	assert_int_equal(write(pipes[1], text, 100), 100);
	assert_int_equal(into(both, fd[0], 100, 0), 100);
	assert_int_equal(raw_record(fd[1], &k, got, &type), 100);
	assert_memory_equal(got, text, 100);
	assert_fails(into(both, fd[0], 100, SPLICE_F_NONBLOCK), EAGAIN);
	close(both);
	close_pipe(pipes);
	home_close(fd);
}

/* One that has a name, which may have no RWF_NOWAIT where pipes have. */
static void test_a_fifo(void **state)
{
	char name[40];
	struct tls_keys k;
	int fd[2], both;
	uint8_t type;

	home_tx_pair(fd, V13, GCM, true);
	home_set_keys(fd[1], TLSULP_TX, V13, GCM, 2);
	k = keys_seeded(V13, GCM, 2);
	snprintf(name, sizeof(name), "/tmp/tlsulp-fifo.%d", getpid());
	assert_int_equal(mkfifo(name, 0600), 0);
	both = open(name, O_RDWR | O_CLOEXEC);
	assert_true(both >= 0);
	unlink(name);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tlsulp_send(fd[0], text + i, 5000, 0), 5000);
		assert_int_equal(out_of(fd[1], both, 16384, 0), 5000);
		assert_int_equal(into(both, fd[1], 16384, 0), 5000);
		assert_int_equal(raw_record(fd[0], &k, got, &type), 5000);
		assert_memory_equal(got, text + i, 5000);
	}
	close(both);
	home_close(fd);
}

/* As a kernel that knows these calls but has no RWF_NOWAIT for pipes. */
static int refuse_nowait(void **state)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_preadv2, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_pwritev2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };
	struct iovec iov = { got, 1 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return -1;
	return syscall(SYS_preadv2, 0, &iov, 1, -1L, -1L, 0) != -1 || errno != EOPNOTSUPP;
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
		cmocka_unit_test(test_a_pipe_into_records),
		cmocka_unit_test(test_more_keeps_the_record_open),
		cmocka_unit_test(test_an_empty_pipe_and_its_end),
		cmocka_unit_test(test_it_waits_for_the_pipe),
		cmocka_unit_test(test_records_into_a_pipe),
		cmocka_unit_test(test_a_full_pipe_loses_nothing),
		cmocka_unit_test(test_it_waits_for_a_full_pipe),
		cmocka_unit_test(test_a_pipe_open_for_both_ways),
		cmocka_unit_test(test_a_fifo),
	};
	int failed = cmocka_run_group_tests_name("RWF_NOWAIT", tests, setup, NULL);

	return failed + cmocka_run_group_tests_name("vmsplice", tests, refuse_nowait, NULL);
}
