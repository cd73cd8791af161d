// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * scenes PORT SCENE [ARG]: what programs do around a TLS socket. What the wire
 * must show is in test_fail_closed.py.
 */
#include "peer.h"

#include <aio.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <sys/wait.h>

#define TAG 1

extern char **environ;
static const char *arg = "";

/* A system call that no preload sees. */
static long raw(long number, long a, long b, long c)
{
	long result;
#if defined(__x86_64__)
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b, x2 __asm__("x2") = c;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	result = x0;
#else
#error "no raw system call for this machine"
#endif
	return result;
}

/* ---- vfork ---- */

static void vfork_child(int fd)
{
	pid_t pid = vfork();

	if (!pid) {
		if (!strcmp(arg, "close"))
			close(fd);
		else if (!strcmp(arg, "closefrom"))
			closefrom(3);
		else if (!strcmp(arg, "dup2"))
			dup2(open("/dev/null", O_RDWR), fd);
		else if (!strcmp(arg, "syscall"))
			syscall(SYS_close_range, 3, ~0u, 0);
		else if (!strcmp(arg, "onto1")) /* then the new program prints to it */
			dup2(fd, 1);
		else
			close_range(3, ~0u, 0);
		execl("/bin/sh", "sh", "-c", "echo leak", NULL);
		_exit(1);
	}
	CHECK(pid > 0 && waitpid(pid, NULL, 0) == pid);
}

static void scene_vfork(void)
{
	int fd = peer_tls(TAG);

	say_str(fd, "before ");
	vfork_child(fd);
	say_str(fd, "after");
}

/* posix_spawn, system, popen: the child closes all, or has the socket as its output. */
static void scene_spawn(void)
{
	char *args[] = { "sh", "-c", "echo leak; echo leak >&2", NULL };
	posix_spawn_file_actions_t actions;
	int fd = peer_tls(TAG);
	pid_t pid = 0;
	FILE *f;

	say_str(fd, "before ");
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addclosefrom_np(&actions, 3) == 0);
	if (!strcmp(arg, "spawn")) {
		CHECK(posix_spawn(&pid, "/bin/sh", &actions, NULL, args, environ) == 0);
		CHECK(waitpid(pid, NULL, 0) == pid);
	} else if (!strcmp(arg, "system")) {
		CHECK(system("exec 3>&- 4>&- 5>&-; true") == 0);
	} else if (!strcmp(arg, "popen")) {
		f = popen("exec 3>&- 4>&- 5>&-; true", "r");
		CHECK(f && pclose(f) == 0);
	} else { /* std: the program's own 1 and 2 are the socket */
		CHECK(dup2(fd, 1) == 1 && dup2(fd, 2) == 2);
		system("echo leak; echo leak >&2");
		f = popen("echo leak >&2", "r");
		CHECK(f && pclose(f) >= 0);
		CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, args, environ) == 0);
		CHECK(waitpid(pid, NULL, 0) == pid);
	}
	say_str(fd, "after");
}

/* ---- new programs of several threads ---- */

#define SPAWNERS 5
#define SPAWNS 30

static char echo[32];

static void spawn_echo(bool loads)
{
	char *args[] = { "sh", "-c", echo, NULL }, *none[] = { NULL };
	pid_t pid;

	CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, args, loads ? environ : none) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static void popen_echo(void)
{
	FILE *f = popen(echo, "r");

	CHECK(f && pclose(f) >= 0);
}

static void *spawner(void *p)
{
	for (int i = 0; i < SPAWNS; i++) {
		if (!strcmp(arg, "system"))
			CHECK(system(echo) == 0);
		else if (!strcmp(arg, "popen"))
			popen_echo();
		else
			spawn_echo(!strcmp(arg, "mixed") && (long)p % 2);
	}
	return NULL;
}

/* What one thread does for its new program is not undone by another's. */
static void scene_spawners(void)
{
	pthread_t threads[SPAWNERS];
	int fd = peer_tls(TAG);

	snprintf(echo, sizeof(echo), "echo x >&%d", fd);
	for (long i = 0; i < SPAWNERS; i++)
		CHECK(pthread_create(&threads[i], NULL, spawner, (void *)i) == 0);
	for (int i = 0; i < SPAWNERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	say_str(fd, "done");
}

static void *close_soon(void *fd)
{
	usleep(200000);
	CHECK(close((long)fd) == 0);
	return NULL;
}

/* The connection is closed while the shell runs; the program has a child of its own and its
 * handlers.
 */
static void scene_system(void)
{
	struct sigaction act = { .sa_handler = SIG_IGN }, old;
	pthread_t thread;
	int fd = peer_tls(TAG);

	CHECK(sigaction(SIGQUIT, &act, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, close_soon, (void *)(long)fd) == 0);
	CHECK(system("sleep 1; kill -INT $PPID; kill -INT $$; exit 1") == SIGINT);
	CHECK(pthread_join(thread, NULL) == 0);
	fd = peer_tls(TAG + 1);
	CHECK(WEXITSTATUS(system("exit 3")) == 3 && system(NULL) != 0);
	CHECK(sigaction(SIGQUIT, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
	CHECK(sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	say_str(fd, "ok");
}

static void *run_sleep(void *unused)
{
	system("exec sleep 1000");
	return NULL;
}

/* A thread that is cancelled takes its shell with it. */
static void scene_system_cancel(void)
{
	struct sigaction old;
	pthread_t thread;
	int fd = peer_tls(TAG);

	CHECK(pthread_create(&thread, NULL, run_sleep, NULL) == 0);
	usleep(300000);
	CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	CHECK(sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	say_str(fd, "ok");
}

/* A forked child makes the socket its output and becomes another program. */
static void scene_fork_exec(void)
{
	int fd = peer_tls(TAG);
	pid_t pid = fork();
	char text[64];

	if (!pid) {
		if (!strcmp(arg, "dup2"))
			dup2(fd, 1);
		else if (!strcmp(arg, "fcntl"))
			CHECK(close(1) == 0 && fcntl(fd, F_DUPFD, 1) == 1);
		snprintf(text, sizeof(text), "echo leak; echo leak >&%d", fd);
		if (!strcmp(arg, "noenv"))
			execle("/bin/sh", "sh", "-c", text, NULL, (char *[]){ NULL });
		else if (!strcmp(arg, "static"))
			execl(getenv("STATIC"), "static", NULL);
		execl("/bin/sh", "sh", "-c", text, NULL);
		_exit(1);
	}
	CHECK(pid > 0 && waitpid(pid, NULL, 0) == pid);
	say_str(fd, "after");
}

/* ---- stdio ---- */

static void scene_fdopen(void)
{
	int fd = peer_socket();
	FILE *f = NULL;

	peer_connect(fd, TAG);
	if (!strcmp(arg, "before"))
		f = fdopen(fd, "w");
	peer_attach(fd);
	if (!strcmp(arg, "attached"))
		f = fdopen(fd, "w");
	peer_key(fd, TAG, TLS_TX);
	if (!f)
		f = fdopen(fd, "w");
	CHECK(f && fprintf(f, "he%s", "ll") > 0 && fputc('o', f) == 'o' && fflush(f) == 0);
	CHECK(fwrite(" there", 1, 6, f) == 6);
	if (!strcmp(arg, "unflushed"))
		exit(0);
	CHECK(fclose(f) == 0);
}

/* printf and its kin where 0, 1 and 2 are the socket. */
static void scene_std(void)
{
	int fd = peer_socket();
	FILE *old = stdout;

	peer_connect(fd, TAG);
	if (!strcmp(arg, "inherited")) /* there before the ULP, as under inetd */
		for (int i = 0; i <= 2; i++)
			CHECK(syscall(SYS_dup3, fd, i, 0) == i);
	peer_keys(fd, TAG);
	if (!strcmp(arg, "later")) {
		printf("held ");
		for (int i = 0; i <= 2; i++)
			CHECK(dup2(fd, i) == i);
	}
	if (!strcmp(arg, "copy")) {
		CHECK(close(1) == 0 && dup(fd) == 1);
		CHECK(dup2(fd, 2) == 2);
	}
	printf("out ");
	CHECK(fflush(stdout) == 0);
	fprintf(stderr, "err ");
	errno = ENOENT;
	perror("perror");
	fflush(stderr);
	fprintf(old, "stale");
	fflush(old);
	CHECK(write(1, "end", 3) == 3);
	exit(0); /* with "stale" still in the old buffer */
}

/* A FILE of libc's whose number becomes the socket's. */
static void scene_stale_file(void)
{
	FILE *f = fopen("/dev/null", "w");
	int fd = peer_tls(TAG);

	fprintf(f, "held ");
	CHECK(dup2(fd, fileno(f)) >= 0);
	fprintf(f, "stale");
	fflush(f);
	say_str(fd, "end");
	if (!strcmp(arg, "fclose")) {
		close(fd);
		fclose(f); /* the last number of the socket */
		pause();
	}
}

/* ---- a number used again ---- */

static void scene_reuse(void)
{
	int fd = peer_tls(TAG), other;
	FILE *f;

	say_str(fd, "tls");
	if (!strcmp(arg, "close")) {
		close(fd);
	} else if (!strcmp(arg, "close_range")) {
		close_range(fd, fd, 0);
	} else if (!strcmp(arg, "closefrom")) {
		closefrom(fd);
		words = 2;
	} else if (!strcmp(arg, "fclose")) {
		f = fdopen(fd, "r+");
		CHECK(f && fclose(f) == 0);
	} else if (!strcmp(arg, "syscall")) {
		syscall(SYS_close, fd);
	} else if (!strcmp(arg, "raw")) { /* not seen: but socket() on the number is */
		raw(SYS_close, fd, 0, 0);
	} else {
		other = peer_plain();
		CHECK(dup2(other, fd) == fd && close(other) == 0);
		say_str(fd, "plain");
		return;
	}
	other = peer_plain();
	CHECK(other == fd);
	say_str(other, "plain");
}

/* ---- copies of the socket that are older than its ULP ---- */

static void send_fd(int sock, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *m = CMSG_FIRSTHDR(&msg);

	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(m), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) == 1)
		errno = 0;
}

static int receive_fd(int sock)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fd;

	CHECK(recvmsg(sock, &msg, 0) == 1 && msg.msg_controllen);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void scene_copy_before(void)
{
	int fd = peer_socket(), copy = -1, pair[2];
	FILE *f = NULL;

	peer_connect(fd, TAG);
	if (!strcmp(arg, "dup"))
		copy = dup(fd);
	else if (!strcmp(arg, "fcntl"))
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	else if (!strcmp(arg, "dup2"))
		copy = dup2(fd, 60);
	else if (!strcmp(arg, "file")) {
		copy = dup(fd);
		f = fdopen(copy, "w");
	} else {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		send_fd(pair[0], fd);
		copy = receive_fd(pair[1]);
	}
	CHECK(copy > fd);
	peer_keys(fd, TAG);
	if (f)
		CHECK(fputs("copy ", f) >= 0 && fflush(f) == 0);
	else
		say_str(copy, "copy ");
	CHECK(setsockopt(copy, IPPROTO_TCP, TCP_ULP, "tls", 4) == -1 && errno == EEXIST);
	say_str(fd, "first");
}

static void pass(int sock, const int *fds, int n)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *m = CMSG_FIRSTHDR(&msg);

	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(m), fds, n * sizeof(int));
	CHECK(sendmsg(sock, &msg, 0) == 1);
}

/* The descriptors that a message brings into @room bytes of control space. */
static int take(int sock, int *fds, size_t room, int flags, int *msg_flags)
{
	static _Alignas(struct cmsghdr) char control[8192];
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room
	};
	struct cmsghdr *m;
	int n;

	memset(control, 0xee, sizeof(control));
	CHECK(recvmsg(sock, &msg, flags) == 1);
	*msg_flags = msg.msg_flags;
	m = CMSG_FIRSTHDR(&msg);
	CHECK(m && m->cmsg_type == SCM_RIGHTS && msg.msg_controllen <= room);
	CHECK(!CMSG_NXTHDR(&msg, m));
	/* In a large room the parcels lay there too. */
	for (size_t i = room > 2048 ? room : msg.msg_controllen; i < sizeof(control); i++)
		CHECK(control[i] == (char)0xee);
	n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(m), n * sizeof(int));
	return n;
}

static void rights_self(int pair[2])
{
	int fd = peer_tls(TAG), copy;

	say_str(fd, "first ");
	send_fd(pair[0], fd);
	copy = receive_fd(pair[1]);
	say_str(copy, "second ");
	CHECK(close(fd) == 0);
	say_str(copy, "third");
}

/* A process that is older than the connection gets it, and with "twice" passes it back. */
static void rights_child(int pair[2], bool back)
{
	pid_t pid = fork();
	int fd;

	CHECK(pid >= 0);
	if (!pid) {
		fd = receive_fd(pair[1]);
		say_str(fd, "second ");
		if (back)
			send_fd(pair[1], fd);
		exit(0);
	}
	fd = peer_tls(TAG);
	say_str(fd, "first ");
	send_fd(pair[0], fd);
	if (back) {
		CHECK(close(fd) == 0);
		fd = receive_fd(pair[0]);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	say_str(fd, "third");
}

/* With the ULP and without keys: they are set by who gets it. */
static void rights_keyless(int pair[2])
{
	int fd = peer_socket();
	pid_t pid;

	peer_connect(fd, TAG);
	pid = fork(); /* older than the ULP */
	CHECK(pid >= 0);
	if (!pid) {
		close(fd);
		fd = receive_fd(pair[1]);
		CHECK(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) == -1 && errno == EEXIST);
		peer_key(fd, TAG, TLS_TX);
		say_str(fd, "first second ");
		exit(0);
	}
	peer_attach(fd);
	send_fd(pair[0], fd);
	CHECK(waitpid(pid, NULL, 0) == pid);
	say_str(fd, "third");
}

/* On its way to a process that never takes it. */
static void rights_untaken(int pair[2])
{
	int fd = peer_tls(TAG);

	say_str(fd, "first ");
	send_fd(pair[0], fd);
	CHECK(send(fd, "second third", 12, MSG_MORE) == 12);
	CHECK(close(fd) == 0);
	CHECK(close(pair[1]) == 0 && close(pair[0]) == 0);
}

static void rights_peek(int pair[2])
{
	int fd = peer_tls(TAG), peeked, taken, flags;

	say_str(fd, "first ");
	send_fd(pair[0], fd);
	CHECK(take(pair[1], &peeked, CMSG_SPACE(sizeof(int)), MSG_PEEK, &flags) == 1 && !flags);
	CHECK(take(pair[1], &taken, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC, &flags) == 1);
	CHECK(fcntl(taken, F_GETFD) == FD_CLOEXEC && fcntl(peeked, F_GETFD) == 0);
	CHECK(close(fd) == 0);
	say_str(peeked, "second ");
	CHECK(close(peeked) == 0);
	say_str(taken, "third");
}

/* Between others, each at its place. */
static void rights_many(int pair[2], size_t room)
{
	int fd = peer_tls(TAG), flags, got[8], ends[2], fds[4];

	CHECK(pipe(ends) == 0);
	memcpy(fds, (int[]){ ends[1], fd, ends[0], fd }, sizeof(fds));
	say_str(fd, "first ");
	pass(pair[0], fds, 4);
	CHECK(take(pair[1], got, room, 0, &flags) == 4 && !(flags & MSG_CTRUNC));
	CHECK(write(got[0], "x", 1) == 1 && read(got[2], &flags, 4) == 1);
	say_str(got[1], "second ");
	say_str(got[3], "third");
	CHECK(close(open("/dev/null", O_RDONLY)) == 0);
}

/* Room for one of two: the other is closed, as the kernel does. */
static void rights_truncated(int pair[2])
{
	int fd = peer_tls(TAG), flags, got[8], next;

	say_str(fd, "first ");
	pass(pair[0], (int[]){ fd, fd, fd }, 3);
	next = open("/dev/null", O_RDONLY);
	CHECK(close(next) == 0);
	CHECK(take(pair[1], got, CMSG_LEN(sizeof(int)), 0, &flags) == 1 && (flags & MSG_CTRUNC));
	CHECK(got[0] == next && fcntl(next + 1, F_GETFD) == -1);
	say_str(got[0], "second ");
	say_str(fd, "third");
}

/* A program without the library connects, and gets nothing. */
static void rights_refused(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = peer_tls(TAG), sock = socket(AF_UNIX, SOCK_STREAM, 0), peer;
	static const char program[] = "import socket, sys, time\n"
				      "s = socket.socket(socket.AF_UNIX)\n"
				      "s.connect('\\0' + sys.argv[1])\n"
				      "assert s.recv(1) == b'e'";
	pid_t pid;

	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "tlsulp-test-%d", getpid());
	CHECK(bind(sock, (struct sockaddr *)&addr,
		   offsetof(struct sockaddr_un, sun_path) + 1 + strlen(addr.sun_path + 1)) == 0);
	CHECK(listen(sock, 1) == 0);
	pid = fork();
	if (!pid) {
		execle("/usr/bin/python3", "python3", "-c", program, addr.sun_path + 1, NULL,
		       (char *[]){ NULL });
		_exit(1);
	}
	peer = accept(sock, NULL, NULL);
	CHECK(peer >= 0);
	send_fd(peer, fd);
	CHECK(errno == EOPNOTSUPP && write(peer, "e", 1) == 1);
	CHECK(waitpid(pid, NULL, 0) == pid);
	say_str(fd, "ok");
}

static void scene_rights(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	if (!strcmp(arg, "self"))
		rights_self(pair);
	else if (!strcmp(arg, "child") || !strcmp(arg, "twice"))
		rights_child(pair, !strcmp(arg, "twice"));
	else if (!strcmp(arg, "untaken"))
		rights_untaken(pair);
	else if (!strcmp(arg, "keyless"))
		rights_keyless(pair);
	else if (!strcmp(arg, "peek"))
		rights_peek(pair);
	else if (!strcmp(arg, "many"))
		rights_many(pair, CMSG_SPACE(4 * sizeof(int)));
	else if (!strcmp(arg, "large"))
		rights_many(pair, 8000);
	else if (!strcmp(arg, "truncated"))
		rights_truncated(pair);
	else
		rights_refused();
}

/* ---- a new program ---- */

static void scene_new_program(void)
{
	int fd = peer_tls(TAG);
	char text[16] = { 0 }, *args[] = { "scenes", NULL, "resumed", text, NULL };
	pid_t pid = 0;
	char port[8];

	snprintf(port, sizeof(port), "%d", peer_port);
	args[1] = port;
	CHECK(recv(fd, text, 5, MSG_WAITALL) == 5 && !memcmp(text, "01234", 5));
	CHECK(send(fd, "held ", 5, MSG_MORE) == 5);
	snprintf(text, sizeof(text), "%d", fd);
	if (!strcmp(arg, "fork_exec"))
		pid = fork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(1);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static void scene_resumed(void)
{
	int fd = atoi(arg);
	char text[8] = { 0 };

	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) == -1 && errno == EEXIST);
	CHECK(recv(fd, text, sizeof(text), 0) == 5);
	text[5] = ' ';
	CHECK(send(fd, text, 6, MSG_MORE) == 6);
	say_str(fd, "after");
}

/* Far more connections than a small process has, and each goes on. */
static void scene_many_go(void)
{
	int n = atoi(arg);
	char count[8], first[8], port[8];

	snprintf(port, sizeof(port), "%d", peer_port);
	for (int i = 0; i < n; i++) {
		int fd = peer_tls(1 + i);

		say_str(fd, "before ");
		if (!i)
			snprintf(first, sizeof(first), "%d", fd);
	}
	snprintf(count, sizeof(count), "%d", n);
	execl("/proc/self/exe", "scenes", port, "many_went", count, first, NULL);
	die("no exec");
}

static int first_number;

static void scene_many_went(void)
{
	for (int i = 0; i < atoi(arg); i++)
		say_str(first_number + i, "after");
}

/* ---- what a preload cannot see ---- */

static void scene_uring(void)
{
	uint32_t params[32] = { 0 };
	int fd = peer_socket();
	long ring = strcmp(arg, "raw") ? syscall(SYS_io_uring_setup, 4, params)
				       : raw(SYS_io_uring_setup, 4, (long)params, 0);

	if (ring < 0)
		_exit(77);
	peer_connect(fd, TAG);
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4)) {
		CHECK(errno == ENOENT);
		_exit(2);
	}
	peer_key(fd, TAG, TLS_TX);
	say_str(fd, "ok");
}

static void scene_raw_write(void)
{
	int fd = peer_tls(TAG);

	say_str(fd, "before");
	CHECK(raw(SYS_write, fd, (long)"leak", 4) == 4);
	if (!strcmp(arg, "shutdown")) {
		shutdown(fd, SHUT_WR);
		CHECK(send(fd, "after", 5, MSG_NOSIGNAL) == -1 && errno == EBADMSG);
	}
	CHECK(close(fd) == 0);
}

/* ---- accepted means delivered ---- */

#define CHUNK 5000

/* Send until the socket takes no more, on a small buffer; how many bytes were accepted. */
static size_t send_until_full(int fd)
{
	static uint8_t buf[CHUNK];
	size_t sent = 0;
	ssize_t n;

	for (;;) {
		fill(buf, sizeof(buf), sent);
		n = send(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n <= 0)
			break;
		sent += n;
	}
	CHECK(errno == EAGAIN);
	return sent;
}

static int small_socket(void)
{
	int fd = peer_socket(), size = 30000;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	peer_connect(fd, TAG);
	peer_keys(fd, TAG);
	return fd;
}

static void tell(size_t n)
{
	char text[32];

	n = snprintf(text, sizeof(text), "%zu\n", n);
	CHECK(syscall(SYS_write, 1, text, n) == (long)n);
}

static int end_by(int fd)
{
	if (!strcmp(arg, "close"))
		return close(fd), pause();
	if (!strcmp(arg, "close_exit"))
		return close(fd), 0;
	if (!strcmp(arg, "shutdown"))
		return shutdown(fd, SHUT_WR), pause();
	if (!strcmp(arg, "exit"))
		exit(0);
	if (!strcmp(arg, "_exit"))
		_exit(0);
	if (!strcmp(arg, "quick_exit"))
		quick_exit(0);
	if (!strcmp(arg, "syscall"))
		return syscall(SYS_exit_group, 0);
	if (!strcmp(arg, "exec"))
		return execl("/bin/true", "true", NULL);
	if (!strcmp(arg, "poll")) {
		struct pollfd p = { fd, POLLIN, 0 };

		poll(&p, 1, -1);
		return 0;
	}
	if (!strcmp(arg, "sleep"))
		return pause();
	if (!strcmp(arg, "thread_exit"))
		pthread_exit(NULL);
	if (!strcmp(arg, "kill"))
		raise(SIGKILL);
	return 0; /* return from main */
}

static int scene_full(void)
{
	int fd = small_socket();

	tell(send_until_full(fd));
	return end_by(fd);
}

static int scene_more(void)
{
	int fd = peer_tls(TAG);

	CHECK(send(fd, "hello", 5, MSG_MORE) == 5);
	tell(5);
	return end_by(fd);
}

static void scene_linger_zero(void)
{
	struct linger l = { 1, 0 };
	int fd = small_socket();

	send_until_full(fd);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0);
	alarm(5);
	CHECK(close(fd) == 0);
}

/* A child that ends, or becomes another program, does not wait for its parent's connections. */
static void scene_child_of_full(void)
{
	int fd = small_socket();
	pid_t pid;

	tell(send_until_full(fd));
	pid = fork();
	if (!pid) {
		alarm(3);
		if (!strcmp(arg, "exec"))
			execl("/bin/true", "true", NULL);
		_exit(0);
	}
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status))
		die("the child hung");
}

/* ---- threads ---- */

#define NUMBER 100
#define HAMMERS 3

static atomic_int resting;
static atomic_bool rest, over;

/* Sends to or receives from whatever has the number. */
static void *hammer(void *receives)
{
	char buf[512];

	while (!over) {
		if (rest) {
			resting++;
			while (rest)
				;
			resting--;
		}
		memset(buf, 'x', sizeof(buf));
		if (receives)
			recv(NUMBER, buf, sizeof(buf), MSG_DONTWAIT);
		else
			send(NUMBER, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
		sched_yield();
	}
	return NULL;
}

static void set_rest(bool on)
{
	rest = on;
	while (!over && resting != (on ? HAMMERS : 0))
		sched_yield();
}

/*
 * One thread gives the number from connection to connection, others use it all
 * the time: from TLS to TLS at once, from TLS to plain, to nothing and then
 * plain. From plain or nothing to TLS they rest: there a call may be on its way
 * into the kernel with what was true of the number before, and no preload can
 * call it back (the program uses a number that it closed).
 */
static void scene_race(void)
{
	pthread_t threads[HAMMERS];
	int rounds = atoi(arg);
	bool was_tls = false;

	for (int i = 0; i < HAMMERS; i++)
		CHECK(pthread_create(&threads[i], NULL, hammer, i == 2 ? "recv" : NULL) == 0);
	for (int i = 0; i < rounds; i++) {
		bool tls = i % 4 != 3;
		int fd = tls ? peer_tls(1 + i % 100) : peer_plain();

		if (tls && !was_tls)
			set_rest(true);
		if (!tls && i % 8 == 3) {
			CHECK(close(NUMBER) == 0);
			CHECK(fcntl(fd, F_DUPFD, NUMBER) == NUMBER);
		} else {
			CHECK(dup2(fd, NUMBER) == NUMBER);
		}
		CHECK(close(fd) == 0);
		set_rest(false);
		was_tls = tls;
		for (volatile int spin = 0; spin < i % 50 * 500; spin++)
			;
	}
	over = true;
	for (int i = 0; i < HAMMERS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		void (*run)(void);
	} scenes[] = {
		{ "vfork", scene_vfork },
		{ "spawn", scene_spawn },
		{ "spawners", scene_spawners },
		{ "system", scene_system },
		{ "system_cancel", scene_system_cancel },
		{ "fork_exec", scene_fork_exec },
		{ "fdopen", scene_fdopen },
		{ "std", scene_std },
		{ "stale_file", scene_stale_file },
		{ "reuse", scene_reuse },
		{ "copy_before", scene_copy_before },
		{ "rights", scene_rights },
		{ "new_program", scene_new_program },
		{ "resumed", scene_resumed },
		{ "many_go", scene_many_go },
		{ "many_went", scene_many_went },
		{ "uring", scene_uring },
		{ "raw_write", scene_raw_write },
		{ "linger_zero", scene_linger_zero },
		{ "child_of_full", scene_child_of_full },
		{ "race", scene_race },
	};

	signal(SIGINT, SIG_DFL); /* a shell ignores it for what runs in the background */
	peer_init(argv[1]);
	arg = argc > 3 ? argv[3] : "";
	first_number = argc > 4 ? atoi(argv[4]) : 0;
	if (!strcmp(argv[2], "full"))
		return scene_full();
	if (!strcmp(argv[2], "more"))
		return scene_more();
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		if (!strcmp(argv[2], scenes[i].name)) {
			scenes[i].run();
			return 0;
		}
	}
	die("no scene %s", argv[2]);
}
