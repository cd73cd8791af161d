// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * facts PORT FACT [ARG]: a program for each row of DESIGN.md's table of facts.
 * What the wire must show is in test_facts.py.
 */
#include "peer.h"

#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define TAG 1

static const char *arg = "";

/* What the kernel has, not what the preload shows. */
static int kernel_option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

#if defined(__x86_64__)
	register long r10 __asm__("r10") = (long)&value;
	register long r8 __asm__("r8") = (long)&len;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_getsockopt), "D"((long)fd), "S"((long)SOL_SOCKET),
			   "d"((long)name), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	CHECK(result == 0);
#else
	CHECK(getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0);
#endif
	return value;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void expect(int fd, const char *text)
{
	char buf[256];
	ssize_t n = recv(fd, buf, strlen(text), MSG_WAITALL);

	if (n != (ssize_t)strlen(text) || memcmp(buf, text, n))
		die("recv gave %zd bytes, not '%s'", n, text);
}

static int small_socket(void)
{
	int fd = peer_socket(), size = 30000;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	peer_connect(fd, TAG);
	peer_keys(fd, TAG);
	return fd;
}

static size_t send_until_full(int fd, size_t chunk)
{
	static uint8_t buf[16384];
	size_t sent = 0;
	ssize_t n;

	for (;;) {
		fill(buf, chunk, sent);
		n = send(fd, buf, chunk, MSG_DONTWAIT);
		if (n <= 0)
			break;
		sent += n;
	}
	CHECK(errno == EAGAIN);
	return sent;
}

static void tell(size_t n)
{
	char text[32];

	n = snprintf(text, sizeof(text), "%zu\n", n);
	CHECK(syscall(SYS_write, 1, text, n) == (long)n);
}

/* ---- SO_COOKIE ---- */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	CHECK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie);
	return cookie;
}

static void fact_cookie(void)
{
	int fd = peer_tls(TAG), other = peer_plain(), status;
	uint64_t cookie = cookie_of(fd);
	pid_t pid;

	CHECK(cookie_of(dup(fd)) == cookie && cookie_of(other) != cookie);
	pid = fork();
	if (!pid)
		_exit(cookie_of(fd) != cookie);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- waiting readers, locks, processes ---- */

static void fact_killed_reader(void)
{
	int fd = peer_tls(TAG);
	pid_t pid = fork();

	if (!pid) {
		char buf[64];

		recv(fd, buf, sizeof(buf), 0);
		_exit(0);
	}
	usleep(100000);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	say_str(fd, "go");
	alarm(5);
	expect(fd, "world");
}

static pid_t raw_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return syscall(SYS_clone3, &args, sizeof(args));
}

static void fact_clone3(void)
{
	int fd = peer_tls(TAG), status;
	pid_t pid;

	say_str(fd, "parent ");
	pid = raw_clone3();
	CHECK(pid >= 0);
	if (!pid) {
		say_str(fd, "child ");
		expect(fd, "world");
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	say_str(fd, "parent");
}

static void *receive_thread(void *arg_fd)
{
	char buf[64];
	ssize_t n = recv((int)(long)arg_fd, buf, sizeof(buf), 0);

	return (void *)(n < 0 ? -(long)errno : n);
}

static void *send_thread(void *arg_fd)
{
	static char buf[65536];
	ssize_t n;

	do
		n = send((int)(long)arg_fd, buf, sizeof(buf), 0);
	while (n == sizeof(buf));
	return (void *)(n < 0 ? -(long)errno : n);
}

static void nothing(int sig)
{
}

static void handle(int sig, void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	CHECK(sigaction(sig, &act, NULL) == 0);
}

/* Two readers wait; each one's signal wakes it, though the other came first. */
static void fact_eintr_two_readers(void)
{
	int fd = peer_tls(TAG);
	pthread_t threads[2];
	void *result;

	handle(SIGUSR1, nothing, 0);
	alarm(5);
	for (int i = 0; i < 2; i++) {
		CHECK(pthread_create(&threads[i], NULL, receive_thread, (void *)(long)fd) == 0);
		usleep(50000);
	}
	for (int i = 1; i >= 0; i--) {
		CHECK(pthread_kill(threads[i], SIGUSR1) == 0);
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK((long)result == -EINTR);
	}
	say_str(fd, "ok");
}

/* ---- EINTR, SA_RESTART, timeouts ---- */

static void fact_signal(void)
{
	bool restart = strstr(arg, "restart"), sending = strstr(arg, "send");
	int fd = sending ? small_socket() : peer_tls(TAG);
	pthread_t thread;
	void *result;

	handle(SIGUSR1, nothing, restart ? SA_RESTART : 0);
	alarm(10);
	if (sending)
		send_until_full(fd, 5000);
	CHECK(pthread_create(&thread, NULL, sending ? send_thread : receive_thread,
			     (void *)(long)fd) == 0);
	usleep(100000);
	CHECK(pthread_kill(thread, SIGUSR1) == 0);
	if (restart) {
		usleep(100000);
		if (sending) { /* it goes on waiting, or gives a short count as a socket does */
			CHECK(pthread_tryjoin_np(thread, &result) == EBUSY || (long)result > 0);
			_exit(0);
		}
		CHECK(pthread_tryjoin_np(thread, &result) == EBUSY);
		say_str(fd, "go");
	}
	CHECK(pthread_join(thread, &result) == 0);
	if (restart)
		CHECK((long)result == 5);
	else /* a short count, if anything of this call went out before */
		CHECK((long)result == -EINTR || (sending && (long)result > 0));
	if (!sending)
		say_str(fd, "ok");
	else
		_exit(0);
}

static void fact_waitall(void)
{
	struct itimerval soon = { .it_value = { 0, 300000 } };
	int fd = peer_tls(TAG);
	char buf[10];

	if (strstr(arg, "sandbox"))
		CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, 0 }) == 0);
	handle(SIGALRM, nothing, strstr(arg, "restart") ? SA_RESTART : 0);
	say_str(fd, "go");
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	if (strstr(arg, "part"))
		CHECK(recv(fd, buf, 1, 0) == 1);
	CHECK(recv(fd, buf, sizeof(buf), MSG_WAITALL) == 5 && !memcmp(buf, "world", 5));
	CHECK(recv(fd, buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	say_str(fd, "ok");
}

/* Messages in the error queue are POLLERR for ever: no reason to look again and again. */
static void fact_error_queue(void)
{
	int fd = peer_tls(TAG), what = SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE |
				       SOF_TIMESTAMPING_OPT_TSONLY;
	struct timeval tv = { 0, 500000 };
	struct pollfd p = { fd, 0, 0 };
	struct rusage before, after;
	char buf[10];

	CHECK(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &what, sizeof(what)) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
	say_str(fd, "go");
	CHECK(poll(&p, 1, 5000) == 1 && p.revents == POLLERR);
	alarm(10);
	CHECK(getrusage(RUSAGE_SELF, &before) == 0);
	CHECK(recv(fd, buf, sizeof(buf), MSG_WAITALL) == 5 && !memcmp(buf, "world", 5));
	CHECK(getrusage(RUSAGE_SELF, &after) == 0);
	timersub(&after.ru_utime, &before.ru_utime, &tv);
	timeradd(&tv, &after.ru_stime, &tv);
	timersub(&tv, &before.ru_stime, &tv);
	CHECK(!tv.tv_sec && tv.tv_usec < 250000);
	say_str(fd, "ok");
}

/* Also one that is over before the library asks for it. */
static void fact_timeout(void)
{
	bool sending = !strcmp(arg, "send");
	int fd = sending ? small_socket() : peer_tls(TAG);
	char buf[5000] = "";
	double start;
	ssize_t n;

	if (sending)
		send_until_full(fd, 5000);
	alarm(5);
	for (int ms = 4; ms <= 200; ms += 196) {
		struct timeval tv = { 0, ms * 1000 };

		CHECK(setsockopt(fd, SOL_SOCKET, sending ? SO_SNDTIMEO : SO_RCVTIMEO, &tv,
				 sizeof(tv)) == 0);
		start = now();
		n = sending ? send(fd, buf, sizeof(buf), 0) : recv(fd, buf, sizeof(buf), 0);
		CHECK(n == -1 && errno == EAGAIN);
		CHECK(now() - start > 0.00075 * ms && now() - start < 1.5);
	}
	_exit(0);
}

/* ---- urgent data ---- */

static void fact_urgent(void)
{
	int fd = peer_tls(TAG), ready;
	struct pollfd p = { fd, POLLIN, 0 };
	struct rusage usage;

	say_str(fd, "go");
	alarm(10);
	if (!strcmp(arg, "poll")) {
		ready = poll(&p, 1, 5000);
		CHECK(ready == 1);
	}
	expect(fd, "world");
	expect(fd, "again");
	CHECK(getrusage(RUSAGE_SELF, &usage) == 0 &&
	      usage.ru_utime.tv_sec + usage.ru_stime.tv_sec < 1);
	say_str(fd, "ok");
}

/* ---- SO_RCVLOWAT and SO_RCVBUF ---- */

static void fact_rcvlowat(void)
{
	int fd = peer_socket(), size = 4096, lowat = INT32_MAX, shown = 0;
	struct pollfd p = { fd, POLLIN, 0 };
	socklen_t len = sizeof(shown);
	static char buf[16384];
	int before;

	if (!strcmp(arg, "small"))
		CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
	peer_connect(fd, TAG);
	peer_keys(fd, TAG);
	before = kernel_option(fd, SO_RCVBUF);
	if (!strcmp(arg, "program")) {
		CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)) == 0);
		CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &shown, &len) == 0);
		CHECK(shown == INT32_MAX && kernel_option(fd, SO_RCVBUF) == before);
		lowat = 1;
		CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)) == 0);
	}
	say_str(fd, "go");
	for (int i = 0; i < 5; i++) {
		poll(&p, 1, 30);
		CHECK(kernel_option(fd, SO_RCVLOWAT) <= kernel_option(fd, SO_RCVBUF) / 2);
	}
	say_str(fd, "rest");
	alarm(10);
	CHECK(poll(&p, 1, 5000) == 1);
	CHECK(recv(fd, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf));
	CHECK(kernel_option(fd, SO_RCVBUF) < 16 << 20);
	say_str(fd, "ok");
}

/* Many records, each waited for: under count.c, which tells how often SO_RCVLOWAT was set. */
static void fact_lowat_changes(void)
{
	int fd = peer_tls(TAG);
	char buf[8192];
	size_t got = 0;

	say_str(fd, "go");
	while (got < 2000 * 1000) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		CHECK(n > 0);
		got += n;
	}
}

/* ---- close with a rest, epoll ---- */

static void fact_epoll_after_close(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLHUP, .data.fd = 1234 };
	int fd = small_socket(), ep = epoll_create1(0);

	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
	tell(send_until_full(fd, 5000));
	CHECK(close(fd) == 0);
	CHECK(epoll_wait(ep, &ev, 1, 300) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == -1 && errno == EBADF);
}

/* The send buffer keeps the kernel's size while the socket lives; it may only grow at the end. */
static void fact_sndbuf(void)
{
	int fd = small_socket(), before = kernel_option(fd, SO_SNDBUF);

	tell(send_until_full(fd, 5000));
	usleep(50000);
	CHECK(kernel_option(fd, SO_SNDBUF) == before);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK(kernel_option(fd, SO_SNDBUF) >= before);
}

static void fact_eor(void)
{
	static uint8_t buf[5000];
	int fd = small_socket();
	size_t sent = 0;

	CHECK(send(fd, buf, 1, MSG_MORE | MSG_EOR) == -1 && errno == EINVAL);
	while (sent < 4000000) {
		struct pollfd p = { fd, POLLOUT, 0 };
		ssize_t n;

		fill(buf, sizeof(buf), sent);
		n = send(fd, buf, sizeof(buf), MSG_EOR | MSG_DONTWAIT);
		if (n < 0)
			CHECK(errno == EAGAIN && poll(&p, 1, -1) == 1);
		else
			sent += n;
	}
	tell(sent);
}

/* ---- threads, limits, pointers ---- */

static void fact_newuser(void)
{
	static uint8_t buf[1 << 20];
	int fd, status;
	pid_t pid = fork();

	if (!pid)
		_exit(unshare(CLONE_NEWUSER) != 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		_exit(77); /* this machine lets nobody */
	fd = peer_tls(TAG);
	fill(buf, sizeof(buf), 0);
	CHECK(send(fd, buf, sizeof(buf), 0) == sizeof(buf));
	expect(fd, "world");
	CHECK(unshare(CLONE_NEWUSER) == 0);
	CHECK(close(fd) == 0);
}

static void fact_fsize(void)
{
	struct rlimit limit = { 0, 0 };
	int fd;

	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	fd = peer_tls(TAG);
	say_str(fd, "hello");
	CHECK(send(fd, " there", 6, MSG_MORE) == 6);
	expect(fd, "world");
}

static void fact_efault(void)
{
	char *bad = (char *)16,
	     *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[2] = { { "x", 1 }, { bad, 100 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = peer_tls(TAG);

	CHECK(munmap(page + 4096, 4096) == 0);
	CHECK(send(fd, bad, 100, 0) == -1 && errno == EFAULT);
	CHECK(send(fd, page + 4090, 100, 0) == -1 && errno == EFAULT);
	CHECK(send(fd, page + 4090, 100, MSG_MORE) == -1 && errno == EFAULT);
	CHECK(writev(fd, iov, 2) == -1 && errno == EFAULT);
	CHECK(sendmsg(fd, &msg, 0) == -1 && errno == EFAULT);
	CHECK(sendmsg(fd, (struct msghdr *)bad, 0) == -1 && errno == EFAULT);
	CHECK(setsockopt(fd, SOL_TLS, TLS_TX, bad, 40) == -1 && errno == EFAULT);
	CHECK(recv(fd, bad, 100, 0) == -1 && errno == EFAULT);
	CHECK(recv(fd, page + 4094, 100, MSG_PEEK) == -1 && errno == EFAULT);
	CHECK(recvmsg(fd, (struct msghdr *)bad, 0) == -1 && errno == EFAULT);
	expect(fd, "world");
	say_str(fd, "ok");
}

static void fact_rekey(void)
{
	int fd = peer_tls(TAG);

	say_str(fd, "one ");
	peer_key(fd, TAG + 1, TLS_TX);
	say_str(fd, "two");
}

/* ---- signal handlers, forks, cancellation ---- */

static int handler_fd;
static volatile sig_atomic_t handled;

static void send_in_handler(int sig)
{
	int err = errno;

	if (send(handler_fd, "hhhhhhhhhh", 10, 0) == 10)
		handled++;
	errno = err;
}

static void fact_handler(void)
{
	struct itimerval timer = { { 0, 500 }, { 0, 500 } }, off = { { 0, 0 }, { 0, 0 } };
	char buf[3000];
	size_t sent = 0;

	handler_fd = peer_tls(TAG);
	memset(buf, 'm', sizeof(buf));
	handle(SIGALRM, send_in_handler, SA_RESTART);
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	while (handled < 200) {
		ssize_t n = send(handler_fd, buf, sizeof(buf), 0);

		CHECK(n > 0);
		sent += n;
	}
	CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
	tell(sent);
	tell(handled * 10);
}

static volatile bool stop_sending;

static void *keep_sending(void *unused)
{
	char buf[3000];
	size_t sent = 0;

	memset(buf, 'm', sizeof(buf));
	while (!stop_sending) {
		ssize_t n = send(handler_fd, buf, sizeof(buf), 0);

		CHECK(n > 0);
		sent += n;
	}
	return (void *)sent;
}

static void fact_fork_while_sending(void)
{
	pthread_t thread;
	void *sent;

	handler_fd = peer_tls(TAG);
	CHECK(pthread_create(&thread, NULL, keep_sending, NULL) == 0);
	for (int i = 0; i < 100; i++) {
		int status;
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			alarm(5);
			say_str(handler_fd, "cccccccccc");
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	}
	stop_sending = true;
	CHECK(pthread_join(thread, &sent) == 0);
	tell((size_t)sent);
	tell(1000);
}

static void fact_cancel(void)
{
	bool sending = !strcmp(arg, "send");
	int fd = sending ? small_socket() : peer_tls(TAG);
	pthread_t thread;
	void *result;

	alarm(10);
	CHECK(pthread_create(&thread, NULL, sending ? send_thread : receive_thread,
			     (void *)(long)fd) == 0);
	usleep(100000);
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
	say_str(fd, "go");
	if (!sending)
		expect(fd, "world");
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		void (*run)(void);
	} facts[] = {
		{ "cookie", fact_cookie },
		{ "killed_reader", fact_killed_reader },
		{ "clone3", fact_clone3 },
		{ "eintr_two_readers", fact_eintr_two_readers },
		{ "signal", fact_signal },
		{ "waitall", fact_waitall },
		{ "error_queue", fact_error_queue },
		{ "timeout", fact_timeout },
		{ "urgent", fact_urgent },
		{ "rcvlowat", fact_rcvlowat },
		{ "lowat_changes", fact_lowat_changes },
		{ "epoll_after_close", fact_epoll_after_close },
		{ "sndbuf", fact_sndbuf },
		{ "eor", fact_eor },
		{ "newuser", fact_newuser },
		{ "fsize", fact_fsize },
		{ "efault", fact_efault },
		{ "rekey", fact_rekey },
		{ "handler", fact_handler },
		{ "fork_while_sending", fact_fork_while_sending },
		{ "cancel", fact_cancel },
	};

	peer_init(argv[1]);
	arg = argc > 3 ? argv[3] : "";
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		if (!strcmp(argv[2], facts[i].name)) {
			facts[i].run();
			return 0;
		}
	}
	die("no fact %s", argv[2]);
}
