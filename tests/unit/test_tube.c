// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Pipes whose bytes stay in the process (user/tube.h): that they do, that nobody can tell, and
 * that no byte is lost, doubled or moved when a pipe stops being one.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/home.h"
#include "tests/unit/pipes.h"
#include "user/calls.h"
#include "user/streams.h"
#include "user/tube.h"

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define HELD 5000

static uint8_t text[300000], got[300000];

/* Bytes that the kernel has. */
static int in_kernel(int pipe)
{
	int n = -1;

	assert_int_equal(ioctl(pipe, FIONREAD, &n), 0);
	return n;
}

/* A loop: what fd[0] sends comes out at fd[1]; both ends have both keys. */
static void loop_open(int fd[2])
{
	home_tx_pair(fd, V13, GCM, true);
	home_set_keys(fd[0], TLSULP_RX, V13, GCM, 2);
	home_set_keys(fd[1], TLSULP_TX, V13, GCM, 2);
}

/* A pipe that has fed records once. */
static void fed_pipe(int pipes[2], const int fd[2])
{
	assert_int_equal(call_pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(tlsulp_send(fd[0], text, 10, 0), 10);
	assert_int_equal(out_of(fd[1], pipes[1], 10, 0), 10);
	assert_int_equal(in_kernel(pipes[0]), 10);
	assert_int_equal(into(pipes[0], fd[1], 10, 0), 10);
	assert_int_equal(tlsulp_recv(fd[0], got, sizeof(got), 0), 10);
}

static void hold(int pipes[2], const int fd[2], size_t n)
{
	assert_int_equal(tlsulp_send(fd[0], text, n, 0), n);
	assert_int_equal(out_of(fd[1], pipes[1], n, 0), n);
	assert_int_equal(in_kernel(pipes[0]), 0);
	assert_true(tube_is(pipes[0]) && tube_is(pipes[1]));
}

static void close_pipe(int pipes[2])
{
	tlsulp_close(pipes[0]);
	tlsulp_close(pipes[1]);
}

static void test_bytes_stay_here(void **state)
{
	static const size_t sizes[] = { 1, 64, 5000, 16384 };
	int fd[2], pipes[2];

	loop_open(fd);
	fed_pipe(pipes, fd);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		hold(pipes, fd, sizes[i]);
		assert_int_equal(into(pipes[0], fd[1], 100000, 0), sizes[i]);
		assert_int_equal(tlsulp_recv(fd[0], got, sizeof(got), 0), sizes[i]);
		assert_memory_equal(got, text, sizes[i]);
		assert_fails(into(pipes[0], fd[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	}
	/* In pieces of other sizes. */
	hold(pipes, fd, 3000);
	hold(pipes, fd, 9000);
	assert_int_equal(into(pipes[0], fd[1], 7000, 0), 7000);
	assert_int_equal(into(pipes[0], fd[1], 7000, 0), 5000);
	assert_int_equal(tlsulp_recv(fd[0], got, 12000, MSG_WAITALL), 12000);
	assert_memory_equal(got, text, 3000);
	assert_memory_equal(got + 3000, text, 9000);
	close_pipe(pipes);
	home_close(fd);
}

static void test_more_joins_what_is_held(void **state)
{
	int fd[2], pipes[2];
	uint8_t type;
	struct tls_keys k = keys_seeded(V13, GCM, 2);

	home_connect(fd);
	home_attach(fd[1]);
	home_set_keys(fd[1], TLSULP_TX, V13, GCM, 2);
	assert_int_equal(call_pipe2(pipes, 0), 0);
	for (int i = 0; i < 2; i++) {
		int file = memfd_create("file", MFD_CLOEXEC);
		off64_t at = 0;

		assert_int_equal(write(file, text, 300), 300);
		assert_int_equal(tlsulp_splice(file, &at, pipes[1], NULL, 300, 0), 300);
		assert_int_equal(in_kernel(pipes[0]), i ? 0 : 300);
		assert_int_equal(into(pipes[0], fd[1], 100, SPLICE_F_MORE), 100);
		assert_true(raw_is_empty(fd[0]));
		assert_int_equal(into(pipes[0], fd[1], 200, 0), 200);
		assert_int_equal(raw_record(fd[0], &k, got, &type), 300);
		assert_memory_equal(got, text, 300);
		close(file);
	}
	close_pipe(pipes);
	home_close(fd);
}

/* ---- before the first TLS socket ---- */

/* Bad memory is the kernel's to find, also later. */
static void bad_questions(void)
{
	assert_fails(tlsulp_poll((struct pollfd *)bad_page(), 1, 0), EFAULT);
	assert_fails(tlsulp_select(5, (fd_set *)bad_page(), NULL, NULL, NULL), EFAULT);
	assert_fails(tlsulp_sendmsg(-1, (struct msghdr *)bad_page(), 0), EBADF);
}

/* Who was asked about then may wait still. */
static void test_questions_before_the_first_connection(void **state)
{
	struct pollfd asked = { -1, POLLIN, 0 };
	struct timeval now = { 0, 0 };
	struct msghdr msg = { 0 };
	int pipes[2];
	fd_set none;

	FD_ZERO(&none);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(call_pipe2(pipes, 0), 0);
		assert_true(tube_is(pipes[0]) && tube_is(pipes[1]));
		asked.fd = pipes[0];
		if (i == 0)
			tlsulp_poll(&asked, 1, 0);
		else if (i == 1)
			tlsulp_select(1, &none, NULL, NULL, &now);
		else if (i == 2)
			tlsulp_sendmsg(-1, &msg, 0);
		else
			bad_questions();
		assert_false(tube_is(pipes[0]) || tube_is(pipes[1]));
		tlsulp_close(pipes[0]);
		tlsulp_close(pipes[1]);
	}
}

static void test_bad_questions(void **state)
{
	int fd[2], pipes[2];

	loop_open(fd);
	fed_pipe(pipes, fd);
	bad_questions();
	home_close(fd);
	bad_questions();
	assert_true(tube_is(pipes[0]));
	close_pipe(pipes);
}

/* libc itself may use the first three numbers. */
static void test_the_first_three_numbers(void **state)
{
	int status;
	pid_t child = fork();

	if (!child) {
		int pipes[2];

		close(0);
		close(1);
		_exit(call_pipe2(pipes, 0) || pipes[0] || pipes[1] != 1 || tube_is(0) ||
		      tube_is(1));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* ---- what ends it ---- */

struct ending {
	const char *name;
	void (*act)(int pipes[2]);
	bool reads; /* it has taken the bytes, to got */
};

static void expect_readable(int pipe)
{
	struct pollfd p = { pipe, POLLIN, 0 };

	assert_int_equal(poll(&p, 1, 0), 1);
}

static void act_read(int pipes[2])
{
	assert_int_equal(tlsulp_read(pipes[0], got, sizeof(got)), HELD);
}

static void act_readv(int pipes[2])
{
	struct iovec iov[2] = { { got, 1000 }, { got + 1000, 9000 } };

	assert_int_equal(tlsulp_readv(pipes[0], iov, 2), HELD);
}

static void act_write(int pipes[2])
{
	assert_int_equal(tlsulp_write(pipes[1], text + HELD, 10), 10);
	assert_int_equal(in_kernel(pipes[0]), HELD + 10);
	assert_int_equal(read(pipes[0], got, HELD + 10), HELD + 10);
	assert_memory_equal(got, text, HELD + 10);
}

static void act_poll(int pipes[2])
{
	struct pollfd p = { pipes[0], POLLIN, 0 };

	assert_int_equal(tlsulp_poll(&p, 1, 0), 1);
}

static void act_ppoll(int pipes[2])
{
	struct pollfd p = { pipes[0], POLLIN, 0 };

	assert_int_equal(tlsulp_ppoll(&p, 1, NULL, NULL), 1);
}

static void act_select(int pipes[2])
{
	fd_set r;

	FD_ZERO(&r);
	FD_SET(pipes[0], &r);
	assert_int_equal(tlsulp_select(pipes[0] + 1, &r, NULL, NULL, NULL), 1);
}

static void act_pselect(int pipes[2])
{
	fd_set r;

	FD_ZERO(&r);
	FD_SET(pipes[0], &r);
	assert_int_equal(tlsulp_pselect(pipes[0] + 1, &r, NULL, NULL, NULL, NULL), 1);
}

/* A set of more numbers than libc's type has, with the other end. */
static void act_select_room(int pipes[2])
{
	unsigned long set[4096 / (8 * sizeof(long))] = { 0 };
	struct timeval now = { 0, 0 };

	set[pipes[1] / (8 * sizeof(long))] = 1ul << pipes[1] % (8 * sizeof(long));
	tlsulp_select(4096, NULL, (fd_set *)set, NULL, &now);
}

static void act_epoll(int pipes[2])
{
	int epfd = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };

	assert_int_equal(tlsulp_epoll_ctl(epfd, EPOLL_CTL_ADD, pipes[0], &e), 0);
	assert_int_equal(tlsulp_epoll_wait(epfd, &e, 1, 0), 1);
	close(epfd);
}

static void act_dup(int pipes[2])
{
	int fd = tlsulp_dup(pipes[0]);

	assert_int_equal(in_kernel(fd), HELD);
	close(fd);
}

static void act_dupfd(int pipes[2])
{
	int fd = call_fcntl(pipes[0], F_DUPFD_CLOEXEC, NULL);

	assert_int_equal(in_kernel(fd), HELD);
	close(fd);
}

static void act_dup2(int pipes[2])
{
	int fd = open("/dev/null", O_RDONLY);

	assert_int_equal(tlsulp_dup2(pipes[1], fd), fd);
	close(fd);
}

/* The last writer leaves: the bytes stay, and then the end. */
static void act_close(int pipes[2])
{
	assert_int_equal(tlsulp_close(pipes[1]), 0);
	assert_int_equal(read(pipes[0], got, sizeof(got)), HELD);
	assert_int_equal(read(pipes[0], got, 1), 0);
	got[0] = text[0];
}

static void act_replace(int pipes[2])
{
	int null = open("/dev/null", O_WRONLY);

	assert_int_equal(tlsulp_dup2(null, pipes[1]), pipes[1]);
	assert_int_equal(read(pipes[0], got, sizeof(got)), HELD);
	assert_int_equal(read(pipes[0], got, 1), 0);
	got[0] = text[0];
	close(null);
}

static void act_close_range(int pipes[2])
{
	assert_int_equal(call_close_range(pipes[1], pipes[1], 0), 0);
	assert_int_equal(read(pipes[0], got, sizeof(got)), HELD);
}

static void act_fork(int pipes[2])
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(read(pipes[0], got, sizeof(got)) != HELD || memcmp(got, text, HELD));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(in_kernel(pipes[0]), 0);
	memcpy(got, text, HELD);
}

/* What the child does with its copy of the memory does not matter. */
static void act_raw_fork(int pipes[2])
{
	int status;
	pid_t child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (!child) {
		struct pollfd p = { pipes[0], POLLIN, 0 };

		tlsulp_poll(&p, 1, 0);
		syscall(SYS_exit_group, in_kernel(pipes[0]) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	act_read(pipes);
}

static void act_pass_on(int pipes[2])
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { got, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	memcpy(CMSG_DATA(&control.head), &pipes[0], sizeof(int));
	assert_int_equal(tlsulp_sendmsg(ends[0], &msg, 0), 1);
	assert_int_equal(in_kernel(pipes[0]), HELD);
	close(ends[0]);
	close(ends[1]);
}

static void act_stream(int pipes[2])
{
	int fd = fcntl(pipes[0], F_DUPFD_CLOEXEC, 3); /* libc's, which nobody sees */
	FILE *f = streams_fdopen(pipes[0], "r");

	assert_int_equal(fread(got, 1, HELD, f), HELD);
	dup2(fd, pipes[0]);
	close(fd);
}

static void act_vdprintf(int pipes[2], ...)
{
	va_list none;

	va_start(none, pipes);
	assert_int_equal(streams_vdprintf(pipes[1], "x", none), 1);
	va_end(none);
	assert_int_equal(in_kernel(pipes[0]), HELD + 1);
	assert_int_equal(read(pipes[0], got, HELD + 1), HELD + 1);
	assert_int_equal(got[HELD], 'x');
}

static void act_print(int pipes[2])
{
	act_vdprintf(pipes);
}

static void act_system_call(int pipes[2])
{
	assert_int_equal(call_syscall(SYS_read, pipes[0], (long)got, sizeof(got), 0, 0, 0), HELD);
}

/* io_uring and aio may poll it, pidfd_getfd() may copy it; none of them has to succeed. */
static void act_io_submit(int pipes[2])
{
	call_syscall(SYS_io_submit, 0, 0, 0, 0, 0, 0);
}

static void act_own_copy(int pipes[2])
{
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	int fd = call_pidfd_getfd(pidfd, pipes[0], 0);

	if (fd >= 0)
		assert_int_equal(in_kernel(fd), HELD);
	close(fd);
	close(pidfd);
}

static void act_sigio(int pipes[2])
{
	assert_int_equal(call_fcntl(pipes[0], F_SETFL, (void *)(long)O_ASYNC), 0);
}

static void act_rights_of_a_socket(int pipes[2])
{
	assert_int_equal(tlsulp_recv(pipes[0], got, 1, 0), -1);
	assert_int_equal(errno, ENOTSOCK);
}

static const struct ending endings[] = {
	{ "read", act_read, true },
	{ "readv", act_readv, true },
	{ "write", act_write, true },
	{ "poll", act_poll, false },
	{ "ppoll", act_ppoll, false },
	{ "select", act_select, false },
	{ "pselect", act_pselect, false },
	{ "select for room", act_select_room, false },
	{ "epoll", act_epoll, false },
	{ "dup", act_dup, false },
	{ "F_DUPFD", act_dupfd, false },
	{ "dup2", act_dup2, false },
	{ "close", act_close, true },
	{ "dup2 onto it", act_replace, true },
	{ "close_range", act_close_range, true },
	{ "fork", act_fork, true },
	{ "clone", act_raw_fork, true },
	{ "SCM_RIGHTS", act_pass_on, false },
	{ "fdopen", act_stream, true },
	{ "dprintf", act_print, true },
	{ "syscall", act_system_call, true },
	{ "io_submit", act_io_submit, false },
	{ "pidfd_getfd", act_own_copy, false },
	{ "O_ASYNC", act_sigio, false },
	{ "recv", act_rights_of_a_socket, false },
};

/* Before there is anything in it, too: then nothing ever stays here. */
static void test_any_other_call_ends_it(void **state)
{
	int fd[2], pipes[2];

	loop_open(fd);
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		fed_pipe(pipes, fd);
		hold(pipes, fd, HELD);
		memset(got, 0, HELD);
		endings[i].act(pipes);
		if (tube_is(pipes[0]) || tube_is(pipes[1]))
			fail_msg("%s leaves it a tube", endings[i].name);
		if (!endings[i].reads) {
			expect_readable(pipes[0]);
			assert_int_equal(read(pipes[0], got, sizeof(got)), HELD);
		}
		if (memcmp(got, text, HELD))
			fail_msg("%s: not the same bytes", endings[i].name);
		close_pipe(pipes);
	}
	home_close(fd);
}

/* Somebody may have asked before, and wait for what comes. */
static void test_a_pipe_that_was_used_otherwise_never_is_one(void **state)
{
	int fd[2], pipes[2], epfd = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };

	loop_open(fd);
	assert_int_equal(call_pipe2(pipes, 0), 0);
	assert_int_equal(tlsulp_epoll_ctl(epfd, EPOLL_CTL_ADD, pipes[0], &e), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tlsulp_send(fd[0], text, 100, 0), 100);
		assert_int_equal(out_of(fd[1], pipes[1], 100, 0), 100);
		assert_int_equal(tlsulp_epoll_wait(epfd, &e, 1, 0), 1);
		assert_int_equal(into(pipes[0], fd[1], 100, 0), 100);
	}
	close(epfd);
	close_pipe(pipes);
	home_close(fd);
}

static void test_harmless_calls_do_not(void **state)
{
	int fd[2], pipes[2];

	loop_open(fd);
	fed_pipe(pipes, fd);
	hold(pipes, fd, HELD);
	assert_int_equal(call_fcntl(pipes[1], F_SETFL, (void *)(long)O_NONBLOCK), 0);
	assert_int_equal(call_fcntl(pipes[0], F_GETFL, NULL), O_RDONLY);
	assert_int_equal(call_fcntl(pipes[0], F_SETFD, (void *)(long)FD_CLOEXEC), 0);
	assert_int_equal(in_kernel(pipes[0]), 0);
	assert_true(call_fcntl(pipes[0], F_SETPIPE_SZ, (void *)8192l) >= 8192);
	assert_int_equal(in_kernel(pipes[0]), HELD); /* as the size counts there */
	assert_true(tube_is(pipes[0]));
	assert_int_equal(into(pipes[0], fd[1], HELD, 0), HELD);
	assert_int_equal(tlsulp_recv(fd[0], got, sizeof(got), 0), HELD);
	hold(pipes, fd, HELD);
	close_pipe(pipes);
	home_close(fd);
}

/* ---- room ---- */

static void test_it_holds_no_more_than_the_pipe(void **state)
{
	int fd[2], pipes[2];
	size_t all = 0, at = 0;

	loop_open(fd);
	fed_pipe(pipes, fd);
	for (int i = 0; i < 6; i++)
		assert_int_equal(tlsulp_send(fd[0], text + i * 16000, 16000, 0), 16000);
	for (;;) {
		ssize_t n = out_of(fd[1], pipes[1], 16000, SPLICE_F_NONBLOCK);

		if (n < 0)
			break;
		all += n;
	}
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(all, 65536);
	while (at < all) {
		ssize_t n = into(pipes[0], fd[1], 10000, 0);

		assert_true(n > 0);
		assert_int_equal(tlsulp_recv(fd[0], got + at, n, MSG_WAITALL), n);
		at += n;
	}
	while (at < 6 * 16000) {
		ssize_t n = out_of(fd[1], pipes[1], 7000, 0);

		assert_true(n > 0);
		assert_int_equal(into(pipes[0], fd[1], n, 0), n);
		assert_int_equal(tlsulp_recv(fd[0], got + at, n, MSG_WAITALL), n);
		at += n;
	}
	assert_memory_equal(got, text, at);
	close_pipe(pipes);
	home_close(fd);
}

/* What the socket does not take stays in the pipe. */
static void test_a_full_socket(void **state)
{
	int fd[2], pipes[2], small = 4096;
	size_t sent = 0, at = 0;

	loop_open(fd);
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	fed_pipe(pipes, fd);
	for (;;) {
		ssize_t n;

		assert_int_equal(tlsulp_send(fd[0], text + sent, HELD, 0), HELD);
		assert_int_equal(out_of(fd[1], pipes[1], HELD, 0), HELD);
		sent += HELD;
		n = into(pipes[0], fd[1], HELD, 0);
		if (n < HELD)
			break;
		assert_true(sent < sizeof(text) - HELD);
	}
	while (at < sent) {
		ssize_t n = tlsulp_recv(fd[0], got + at, sent - at, MSG_DONTWAIT);

		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		at += n > 0 ? n : 0;
		n = into(pipes[0], fd[1], HELD, SPLICE_F_NONBLOCK);
		assert_true(n > 0 || errno == EAGAIN);
	}
	assert_memory_equal(got, text, sent);
	close_pipe(pipes);
	home_close(fd);
}

/* ---- files ---- */

static void test_a_file_into_records(void **state)
{
	int fd[2], pipes[2], file = memfd_create("file", MFD_CLOEXEC);
	off64_t at = 100;

	loop_open(fd);
	fed_pipe(pipes, fd);
	assert_int_equal(write(file, text, 100000), 100000);
	assert_int_equal(tlsulp_splice(file, &at, pipes[1], NULL, 30000, 0), 30000);
	assert_int_equal(at, 30100);
	assert_int_equal(lseek(file, 0, SEEK_CUR), 100000);
	lseek(file, 40000, SEEK_SET);
	assert_int_equal(tlsulp_splice(file, NULL, pipes[1], NULL, 20000, 0), 20000);
	assert_int_equal(lseek(file, 0, SEEK_CUR), 60000);
	assert_int_equal(in_kernel(pipes[0]), 0);
	/* Changed after that: what was spliced is what it was. */
	assert_int_equal(pwrite(file, "x", 1, 100), 1);
	assert_int_equal(into(pipes[0], fd[1], 50000, 0), 50000);
	assert_int_equal(tlsulp_recv(fd[0], got, 50000, MSG_WAITALL), 50000);
	assert_memory_equal(got, text + 100, 30000);
	assert_memory_equal(got + 30000, text + 40000, 20000);
	at = 99990;
	assert_int_equal(tlsulp_splice(file, &at, pipes[1], NULL, 30000, 0), 10);
	assert_int_equal(tlsulp_splice(file, &at, pipes[1], NULL, 30000, 0), 0);
	assert_int_equal(at, 100000);
	assert_fails(tlsulp_splice(file, (off64_t *)bad_page(), pipes[1], NULL, 1, 0), EFAULT);
	at = -5;
	assert_fails(tlsulp_splice(file, &at, pipes[1], NULL, 1, 0), EINVAL);
	assert_fails(tlsulp_splice(file, NULL, pipes[1], &at, 1, 0), ESPIPE);
	close(file);
	assert_fails(tlsulp_splice(file, NULL, pipes[1], NULL, 1, 0), EBADF);
	assert_int_equal(into(pipes[0], fd[1], 50000, 0), 10);
	assert_int_equal(tlsulp_recv(fd[0], got, 50000, 0), 10);
	assert_memory_equal(got, text + 99990, 10);
	close_pipe(pipes);
	home_close(fd);
}

/* Elsewhere than to records: by the kernel, what is held first. */
static void test_out_to_a_file(void **state)
{
	int fd[2], pipes[2], file = memfd_create("file", MFD_CLOEXEC);

	loop_open(fd);
	fed_pipe(pipes, fd);
	hold(pipes, fd, HELD);
	assert_int_equal(tlsulp_splice(pipes[0], NULL, file, NULL, 1000, 0), 1000);
	assert_int_equal(in_kernel(pipes[0]), HELD - 1000);
	assert_int_equal(tlsulp_send(fd[0], text + HELD, 100, 0), 100);
	assert_int_equal(out_of(fd[1], pipes[1], 100, 0), 100);
	assert_int_equal(in_kernel(pipes[0]), HELD - 900);
	assert_int_equal(tlsulp_splice(pipes[0], NULL, file, NULL, HELD, 0), HELD - 900);
	assert_int_equal(pread(file, got, sizeof(got), 0), HELD + 100);
	assert_memory_equal(got, text, HELD + 100);
	assert_int_equal(tlsulp_send(fd[0], text, 100, 0), 100);
	assert_int_equal(out_of(fd[1], pipes[1], 100, 0), 100);
	assert_int_equal(in_kernel(pipes[0]), 100); /* they went elsewhere last */
	close_pipe(pipes);
	close(file);
	home_close(fd);
}

static void test_one_pipe_into_another(void **state)
{
	int fd[2], a[2], b[2];

	loop_open(fd);
	fed_pipe(a, fd);
	fed_pipe(b, fd);
	hold(a, fd, HELD);
	assert_int_equal(tlsulp_splice(a[0], NULL, b[1], NULL, HELD, 0), HELD);
	assert_int_equal(into(b[0], fd[1], HELD, 0), HELD);
	assert_int_equal(tlsulp_recv(fd[0], got, sizeof(got), 0), HELD);
	assert_memory_equal(got, text, HELD);
	close_pipe(a);
	close_pipe(b);
	home_close(fd);
}

/* ---- numbers that are closed past the library ---- */

static void test_a_reused_number_gets_nothing(void **state)
{
	int fd[2], pipes[2], file = memfd_create("file", MFD_CLOEXEC);

	loop_open(fd);
	fed_pipe(pipes, fd);
	hold(pipes, fd, HELD);
	dup2(file, pipes[1]); /* libc's own, which nobody sees */
	assert_int_equal(tlsulp_read(pipes[1], got, 1), 0);
	assert_int_equal(lseek(file, 0, SEEK_END), 0);
	assert_false(tube_is(pipes[0]) || tube_is(pipes[1]));
	close_pipe(pipes);
	close(file);
	home_close(fd);
}

/* ---- records that are no data ---- */

static void test_bad_records_leave_it_empty(void **state)
{
	struct tls_keys k;
	int fd[2], other[2], pipes[2];
	uint8_t wire[TLS_WIRE_MAX];
	size_t n;

	loop_open(other);
	fed_pipe(pipes, other);
	k = home_rx_pair(fd, V13, GCM);
	raw_write(fd[0], wire, record_seal(&k, 0, 23, text, 100, wire));
	assert_int_equal(out_of(fd[1], pipes[1], 1000, 0), 100);
	k.seq++;
	raw_write(fd[0], wire, record_seal(&k, 0, 22, text, 100, wire));
	assert_fails(out_of(fd[1], pipes[1], 1000, 0), EINVAL);
	home_close(fd);
	k = home_rx_pair(fd, V13, GCM);
	n = record_seal(&k, 0, 23, text, 100, wire);
	wire[n - 1] ^= 1;
	raw_write(fd[0], wire, n);
	assert_fails(out_of(fd[1], pipes[1], 1000, 0), EBADMSG);
	assert_int_equal(into(pipes[0], other[1], 1000, 0), 100);
	assert_int_equal(tlsulp_recv(other[0], got, sizeof(got), 0), 100);
	assert_memory_equal(got, text, 100);
	home_close(fd);
	close_pipe(pipes);
	home_close(other);
}

/* ---- threads ---- */

struct way {
	int from, to;
	size_t left;
	unsigned int seed;
};

static void *carry(void *arg)
{
	struct way *w = arg;

	while (w->left) {
		size_t want = 1 + rand_r(&w->seed) % 40000;
		ssize_t n = tlsulp_splice(w->from, NULL, w->to, NULL,
					  want < w->left ? want : w->left, 0);

		if (n <= 0)
			return (void *)"splice gives nothing";
		w->left -= n;
	}
	return NULL;
}

static void *feed(void *arg)
{
	struct way *w = arg;

	for (size_t at = 0; at < w->left;) {
		size_t n = 1 + rand_r(&w->seed) % 30000, off = at % 200000;

		n = n < w->left - at ? n : w->left - at;
		n = n < sizeof(text) - off ? n : sizeof(text) - off;
		if (tlsulp_send(w->to, text + off, n, 0) != (ssize_t)n)
			return (void *)"send gives less";
		at += n;
	}
	return NULL;
}

/*
 * A thread splices in and another one out, both asleep now and then; once they have, a third one's
 * poll() ends the tube at any moment.
 */
static void two_threads(size_t size, bool ends)
{
	int fd[2], pipes[2];
	pthread_t threads[3];
	void *why;

	loop_open(fd);
	fed_pipe(pipes, fd);
	{
		struct way ways[3] = { { -1, fd[0], size, 1 },
				       { fd[1], pipes[1], size, 2 },
				       { pipes[0], fd[1], size, 3 } };

		assert_int_equal(pthread_create(&threads[0], NULL, feed, &ways[0]), 0);
		assert_int_equal(pthread_create(&threads[1], NULL, carry, &ways[1]), 0);
		assert_int_equal(pthread_create(&threads[2], NULL, carry, &ways[2]), 0);
		for (size_t at = 0; at < size;) {
			size_t off = at % 200000, left = 200000 - off;
			ssize_t n = tlsulp_recv(fd[0], got, left, 0);

			assert_true(n > 0);
			assert_memory_equal(got, text + off, n);
			at += n;
			if (ends && at > size / 2) {
				struct pollfd p = { pipes[0], POLLIN, 0 };

				assert_true(tlsulp_poll(&p, 1, 0) >= 0);
			}
		}
		for (int i = 0; i < 3; i++) {
			assert_int_equal(pthread_join(threads[i], &why), 0);
			if (why)
				fail_msg("thread %d: %s", i, (char *)why);
		}
	}
	close_pipe(pipes);
	home_close(fd);
}

static void test_threads(void **state)
{
	memcpy(text + 200000, text, 100000); /* the pattern repeats after 200,000 */
	for (int i = 0; i < 8; i++)
		two_threads(4 << 20, i & 1);
}

static bool enough;
static int first_number, last_number;

static void *ends_at_random(void *seed)
{
	unsigned int s = (uintptr_t)seed;

	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED))
		tube_leave(first_number + rand_r(&s) % (last_number - first_number + 1));
	return NULL;
}

/* Others make calls on the numbers while these are given out and taken away. */
static void test_pipes_come_and_go(void **state)
{
	pthread_t threads[2];
	int pipes[2];

	assert_int_equal(call_pipe2(pipes, 0), 0);
	first_number = pipes[0];
	last_number = pipes[1];
	close_pipe(pipes);
	enough = false;
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, ends_at_random, (void *)(i + 1));
	for (int i = 0; i < 30000; i++) {
		assert_int_equal(call_pipe2(pipes, 0), 0);
		close_pipe(pipes);
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static void *resizes(void *pipes)
{
	for (int i = 0; !__atomic_load_n(&enough, __ATOMIC_RELAXED); i++)
		call_fcntl(((int *)pipes)[1], F_SETPIPE_SZ, (void *)(i & 1 ? 65536l : 4096l));
	return NULL;
}

/* What is held always has room in the pipe. */
static void test_a_pipe_whose_size_changes(void **state)
{
	int fd[2], pipes[2], file = memfd_create("file", MFD_CLOEXEC);
	pthread_t thread;

	loop_open(fd);
	fed_pipe(pipes, fd);
	assert_int_equal(write(file, text, 65536), 65536);
	enough = false;
	pthread_create(&thread, NULL, resizes, pipes);
	for (int i = 0; i < 3000; i++) {
		off64_t at = 0;
		ssize_t n = tlsulp_splice(file, &at, pipes[1], NULL, 65536, 0), out = 0;

		assert_true(n > 0);
		while (out < n) {
			ssize_t m = into(pipes[0], fd[1], n - out, 0);

			assert_true(m > 0);
			assert_int_equal(tlsulp_recv(fd[0], got + out, m, MSG_WAITALL), m);
			out += m;
		}
		assert_memory_equal(got, text, n);
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	close_pipe(pipes);
	close(file);
	home_close(fd);
}

/* More pipes than there can be tubes, and again. */
static void test_many_pipes(void **state)
{
	static int many[3000][2];

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(many); i++)
			assert_int_equal(call_pipe2(many[i], 0), 0);
		assert_true(tube_is(many[0][0]) && !tube_is(many[2999][0]));
		for (size_t i = 0; i < ARRAY_SIZE(many); i++)
			close_pipe(many[i]);
	}
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
		cmocka_unit_test(test_questions_before_the_first_connection),
		cmocka_unit_test(test_bytes_stay_here),
		cmocka_unit_test(test_more_joins_what_is_held),
		cmocka_unit_test(test_bad_questions),
		cmocka_unit_test(test_the_first_three_numbers),
		cmocka_unit_test(test_any_other_call_ends_it),
		cmocka_unit_test(test_a_pipe_that_was_used_otherwise_never_is_one),
		cmocka_unit_test(test_harmless_calls_do_not),
		cmocka_unit_test(test_it_holds_no_more_than_the_pipe),
		cmocka_unit_test(test_a_full_socket),
		cmocka_unit_test(test_a_file_into_records),
		cmocka_unit_test(test_out_to_a_file),
		cmocka_unit_test(test_one_pipe_into_another),
		cmocka_unit_test(test_a_reused_number_gets_nothing),
		cmocka_unit_test(test_bad_records_leave_it_empty),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_pipes_come_and_go),
		cmocka_unit_test(test_a_pipe_whose_size_changes),
		cmocka_unit_test(test_many_pipes),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
