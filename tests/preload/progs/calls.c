// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * calls PORT NAME: does with a TLS socket what libc's function NAME does, by
 * that very name. What must then be on the wire is in test_libc_names.py: a
 * sender sends "hello"; a reader reads "world"; all others leave "ok", and
 * "plain" on a plain connection.
 */
#include "peer.h"

#include <aio.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <utmp.h>
#include <wordexp.h>

#define TAG 1

static const char *name;
static int fd; /* the TLS socket */

static bool is(const char *a)
{
	return !strcmp(name, a);
}

static bool is_one_of(const char *const *names)
{
	for (; *names; names++)
		if (is(*names))
			return true;
	return false;
}

#define ONE_OF(...) is_one_of((const char *const[]){ __VA_ARGS__, NULL })

static void *function(void)
{
	void *f = dlsym(RTLD_DEFAULT, name);

	if (!f) {
		syscall(SYS_write, words, "no such function here\n", 22);
		_exit(77);
	}
	return f;
}

#define CALL(type, ...) ((type)function())(__VA_ARGS__)

/* ---- senders: "hello" ---- */

static int vprint(int (*f)(int, const char *, va_list), const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = f(fd, format, args);
	va_end(args);
	return n;
}

static int vprint_chk(int (*f)(int, int, const char *, va_list), const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = f(fd, 1, format, args);
	va_end(args);
	return n;
}

static int file_with(const char *text)
{
	char path[] = "/tmp/tlsulp-calls.XXXXXX";
	int file = mkstemp(path);

	CHECK(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
	unlink(path);
	lseek(file, 0, SEEK_SET);
	return file;
}

static int has_two_bytes(void *pipe)
{
	int n;

	return ioctl(*(int *)pipe, FIONREAD, &n) || n != 2;
}

/* A pipe that feeds records and holds what was spliced into it: the call finds that there. */
static ssize_t held_in_a_pipe(void)
{
	int p[2], other[2], file = file_with("hello"), n = 0;
	struct iovec iov = { "!", 1 };
	char seen[4];

	CHECK(!pipe(p) && !pipe(other));
	CHECK(splice(file, NULL, p[1], NULL, 3, 0) == 3 && splice(p[0], NULL, fd, NULL, 3, 0) == 3);
	CHECK(splice(file, NULL, p[1], NULL, 2, 0) == 2);
	if (is("ioctl")) {
		CHECK(CALL(int (*)(int, unsigned long, ...), p[0], FIONREAD, &n) == 0 && n == 2);
	} else if (is("tee")) {
		CHECK(CALL(ssize_t(*)(int, int, size_t, unsigned int), p[0], other[1], 9, 0) == 2);
		CHECK(read(other[0], seen, 4) == 2 && !memcmp(seen, "lo", 2));
	} else if (is("_Fork")) {
		pid_t child = CALL(pid_t(*)(void), );

		if (!child)
			_exit(has_two_bytes(p));
		CHECK(child > 0 && waitpid(child, &n, 0) == child && !n);
	} else if (ONE_OF("clone", "__clone")) {
		static char stack[65536] __attribute__((aligned(16)));
		pid_t child = CALL(int (*)(int (*)(void *), void *, int, void *, ...),
				   has_two_bytes, stack + sizeof(stack), SIGCHLD, p);

		CHECK(child > 0 && waitpid(child, &n, 0) == child && !n);
	} else {
		CHECK(CALL(ssize_t(*)(int, const struct iovec *, size_t, unsigned int), p[1], &iov,
			   1, 0) == 1);
		CHECK(ioctl(p[0], FIONREAD, &n) == 0 && n == 3);
	}
	return 3 + splice(p[0], NULL, fd, NULL, 2, 0);
}

static bool sender(void)
{
	struct iovec iov[2] = { { "hel", 3 }, { "lo", 2 } };
	struct mmsghdr msgs[1] = { { { .msg_iov = iov, .msg_iovlen = 2 }, 0 } };
	ssize_t n = 5;
	int p[2];

	if (ONE_OF("write", "__write"))
		n = CALL(ssize_t(*)(int, const void *, size_t), fd, "hello", 5);
	else if (ONE_OF("send", "__send"))
		n = CALL(ssize_t(*)(int, const void *, size_t, int), fd, "hello", 5, 0);
	else if (is("sendto"))
		n = sendto(fd, "hello", 5, 0, NULL, 0);
	else if (is("writev"))
		n = writev(fd, iov, 2);
	else if (ONE_OF("pwritev2", "pwritev64v2"))
		n = CALL(ssize_t(*)(int, const struct iovec *, int, off_t, int), fd, iov, 2, -1, 0);
	else if (is("sendmsg"))
		n = sendmsg(fd, &msgs[0].msg_hdr, 0);
	else if (is("sendmmsg"))
		n = sendmmsg(fd, msgs, 1, 0) == 1 ? (ssize_t)msgs[0].msg_len : -1;
	else if (ONE_OF("sendfile", "sendfile64"))
		n = CALL(ssize_t(*)(int, int, off_t *, size_t), fd, file_with("hello"), NULL, 5);
	else if (is("splice")) {
		CHECK(pipe(p) == 0 && write(p[1], "hello", 5) == 5);
		n = splice(p[0], NULL, fd, NULL, 5, 0);
	} else if (ONE_OF("tee", "vmsplice", "ioctl", "clone", "__clone", "_Fork"))
		n = held_in_a_pipe();
	else if (is("dprintf"))
		n = CALL(int (*)(int, const char *, ...), fd, "h%so", "ell");
	else if (is("__dprintf_chk"))
		n = CALL(int (*)(int, int, const char *, ...), fd, 1, "h%so", "ell");
	else if (is("vdprintf"))
		n = vprint(function(), "h%so", "ell");
	else if (is("__vdprintf_chk"))
		n = vprint_chk(function(), "h%so", "ell");
	else if (ONE_OF("fdopen", "_IO_fdopen")) {
		FILE *f = CALL(FILE * (*)(int, const char *), fd, "w");

		CHECK(f && fprintf(f, "h%s", "el") == 3 && fputs("lo", f) >= 0 && !fclose(f));
	} else if (is("eventfd_write")) {
		uint64_t value;

		memcpy(&value, "hello\0\0", 8);
		CHECK(eventfd_write(fd, value) == 0);
	} else if (ONE_OF("backtrace_symbols_fd", "__backtrace_symbols_fd")) {
		void *here[1] = { (void *)sender };

		CALL(void (*)(void *const *, int, int), here, 1, fd);
	} else if (is("syscall"))
		n = syscall(SYS_write, fd, "hello", 5);
	else
		return false;
	CHECK(n == 5);
	return true;
}

/* ---- readers: "world", in front of half a record ---- */

static bool reader(void)
{
	char buf[64] = "";
	struct iovec iov[2] = { { buf, 3 }, { buf + 3, 60 } };
	struct mmsghdr msgs[2] = { { { .msg_iov = iov, .msg_iovlen = 2 }, 0 } };
	ssize_t n;

	if (ONE_OF("read", "__read"))
		n = CALL(ssize_t(*)(int, void *, size_t), fd, buf, 64);
	else if (is("__read_chk"))
		n = CALL(ssize_t(*)(int, void *, size_t, size_t), fd, buf, 64, 64);
	else if (is("recv"))
		n = recv(fd, buf, 64, 0);
	else if (is("__recv_chk"))
		n = CALL(ssize_t(*)(int, void *, size_t, size_t, int), fd, buf, 64, 64, 0);
	else if (is("recvfrom"))
		n = recvfrom(fd, buf, 64, 0, NULL, NULL);
	else if (is("__recvfrom_chk"))
		n = CALL(ssize_t(*)(int, void *, size_t, size_t, int, void *, void *), fd, buf, 64,
			 64, 0, NULL, NULL);
	else if (is("readv"))
		n = readv(fd, iov, 2);
	else if (ONE_OF("preadv2", "preadv64v2"))
		n = CALL(ssize_t(*)(int, const struct iovec *, int, off_t, int), fd, iov, 2, -1, 0);
	else if (is("recvmsg"))
		n = recvmsg(fd, &msgs[0].msg_hdr, 0);
	else if (is("recvmmsg"))
		n = recvmmsg(fd, msgs, 1, 0, NULL) == 1 ? (ssize_t)msgs[0].msg_len : -1;
	else if (is("eventfd_read"))
		n = eventfd_read(fd, (eventfd_t *)buf) == -1 ? 5 : -1; /* 5 bytes, not 8: -1 */
	else
		return false;
	CHECK(n == 5 && !memcmp(buf, "world", 5));
	say_str(fd, "ok");
	return true;
}

/* ---- waiting: a whole record, then half a one ---- */

static int wait_once(int ep, int ms)
{
	struct pollfd p = { fd, POLLIN, 0 };
	struct timespec ts = { 0, ms * 1000000l };
	struct timeval tv = { 0, ms * 1000 };
	struct epoll_event ev;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	if (ONE_OF("poll", "__poll"))
		return CALL(int (*)(struct pollfd *, nfds_t, int), &p, 1, ms);
	if (is("__poll_chk"))
		return CALL(int (*)(struct pollfd *, nfds_t, int, size_t), &p, 1, ms, sizeof(p));
	if (is("ppoll"))
		return ppoll(&p, 1, &ts, NULL);
	if (is("__ppoll_chk"))
		return CALL(int (*)(struct pollfd *, nfds_t, struct timespec *, void *, size_t), &p,
			    1, &ts, NULL, sizeof(p));
	if (ONE_OF("select", "__select"))
		return CALL(int (*)(int, fd_set *, fd_set *, fd_set *, struct timeval *), fd + 1,
			    &set, NULL, NULL, &tv);
	if (is("pselect"))
		return pselect(fd + 1, &set, NULL, NULL, &ts, NULL);
	if (is("epoll_pwait"))
		return epoll_pwait(ep, &ev, 1, ms, NULL);
	if (is("epoll_pwait2"))
		return epoll_pwait2(ep, &ev, 1, &ts, NULL);
	return epoll_wait(ep, &ev, 1, ms); /* epoll_wait, epoll_ctl */
}

static bool waiter(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
	int ep = epoll_create1(0);
	char buf[64];

	if (!ONE_OF("poll", "__poll", "__poll_chk", "ppoll", "__ppoll_chk", "select", "__select",
		    "pselect", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl"))
		return false;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
	CHECK(wait_once(ep, 900) == 1);
	CHECK(recv(fd, buf, 64, 0) == 5);
	usleep(20000);
	CHECK(wait_once(ep, 50) == 0);
	say_str(fd, "ok");
	return true;
}

/* ---- what takes the number away ---- */

static void closed_then_plain(int number)
{
	int other = peer_plain();

	CHECK(other == number);
	say_str(other, "plain");
}

static bool closer(void)
{
	FILE *f;

	if (!ONE_OF("close", "__close", "close_range", "closefrom", "dup2", "__dup2", "dup3",
		    "fclose", "_IO_fclose", "freopen", "freopen64"))
		return false;
	say_str(fd, "ok");
	if (ONE_OF("close", "__close")) {
		CHECK(CALL(int (*)(int), fd) == 0);
	} else if (is("close_range")) {
		CHECK(close_range(fd, fd, 0) == 0);
	} else if (is("closefrom")) {
		words = 2; /* the copy goes too */
		closefrom(fd);
	} else if (ONE_OF("dup2", "__dup2", "dup3")) {
		int plain = peer_plain();

		if (is("dup3"))
			CHECK(dup3(plain, fd, O_CLOEXEC) == fd);
		else
			CHECK(CALL(int (*)(int, int), plain, fd) == fd);
		say_str(fd, "plain");
		return true;
	} else if (ONE_OF("fclose", "_IO_fclose")) {
		f = fdopen(fd, "r");
		CHECK(f && CALL(int (*)(FILE *), f) == 0);
	} else {
		f = fdopen(fd, "w");
		CHECK(f && CALL(FILE * (*)(const char *, const char *, FILE *), "/dev/null", "w",
				f) == f);
		CHECK(fputs("to the file", f) >= 0 && fflush(f) == 0);
		CHECK(fclose(f) == 0);
	}
	closed_then_plain(fd);
	return true;
}

/* ---- what makes another number of the same socket ---- */

static bool duplicator(void)
{
	int (*pidfd_getfd)(int, int, unsigned int);
	int other;

	if (is("dup"))
		other = dup(fd);
	else if (ONE_OF("fcntl", "__fcntl", "fcntl64"))
		other = CALL(int (*)(int, int, ...), fd, F_DUPFD, 20);
	else if (is("pidfd_getfd")) {
		pidfd_getfd = function();
		other = pidfd_getfd(syscall(SYS_pidfd_open, getpid(), 0), fd, 0);
	} else
		return false;
	CHECK(other > fd);
	close(fd);
	say_str(other, "ok");
	return true;
}

/* ---- new descriptors, on a number whose close nobody saw ---- */

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

static bool is_tls(int number)
{
	char ulp[16] = "";
	socklen_t len = sizeof(ulp);

	return !getsockopt(number, IPPROTO_TCP, TCP_ULP, ulp, &len) && !strcmp(ulp, "tls");
}

static void pair_works(int a, int b)
{
	char buf[8];

	CHECK(a == fd || b == fd);
	CHECK(!is_tls(a) && !is_tls(b));
	CHECK(write(b, "x\n", 2) == 2 && read(a, buf, 8) == 2);
}

static int accept_on_number(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0),
	    got;
	char buf[8];

	CHECK(bind(listener, (void *)&addr, len) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (void *)&addr, &len) == 0);
	CHECK(connect(client, (void *)&addr, len) == 0);
	CHECK(raw(SYS_close, fd, 0, 0) == 0);
	got = is("accept") ? accept(listener, NULL, NULL) : accept4(listener, NULL, NULL, 0);
	CHECK(got == fd && !is_tls(got));
	CHECK(write(got, "x", 1) == 1 && read(client, buf, 8) == 1 && buf[0] == 'x');
	return got;
}

static bool creator(void)
{
	int p[2], got;

	if (!ONE_OF("socket", "socketpair", "accept", "accept4", "pipe", "pipe2", "__pipe",
		    "epoll_create", "epoll_create1", "eventfd", "openpty"))
		return false;
	say_str(fd, "ok");
	if (ONE_OF("accept", "accept4")) {
		accept_on_number();
		return true;
	}
	CHECK(raw(SYS_close, fd, 0, 0) == 0);
	if (is("socket")) {
		got = peer_socket();
		CHECK(got == fd && !is_tls(got));
		peer_connect(got, PLAIN);
		say_str(got, "plain");
	} else if (is("socketpair")) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
		pair_works(p[0], p[1]);
	} else if (ONE_OF("pipe", "__pipe")) {
		CHECK(CALL(int (*)(int *), p) == 0);
		pair_works(p[0], p[1]);
	} else if (is("pipe2")) {
		CHECK(pipe2(p, 0) == 0);
		pair_works(p[0], p[1]);
	} else if (is("openpty")) {
		CHECK(openpty(&p[0], &p[1], NULL, NULL, NULL) == 0);
		CHECK((p[0] == fd || p[1] == fd) && !is_tls(fd) && write(p[1], "x", 1) == 1);
	} else if (is("eventfd")) {
		uint64_t one = 1;

		CHECK(eventfd(0, 0) == fd && !is_tls(fd) && write(fd, &one, 8) == 8);
	} else {
		CHECK(CALL(int (*)(int), is("epoll_create")) == fd && !is_tls(fd));
	}
	return true;
}

/* ---- options and the rest of the socket calls ---- */

static bool other_socket_call(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (ONE_OF("setsockopt", "getsockopt")) {
		CHECK(is_tls(fd));
		CHECK(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) == -1 && errno == EEXIST);
	} else if (ONE_OF("connect", "__connect")) {
		CHECK(CALL(int (*)(int, const void *, socklen_t), fd, &none, sizeof(none)) == -1);
		CHECK(errno == EOPNOTSUPP);
	} else if (is("listen")) {
		CHECK(listen(fd, 1) == -1 && errno == EINVAL);
	} else if (is("shutdown")) {
		CHECK(send(fd, "ok", 2, MSG_MORE) == 2 && shutdown(fd, SHUT_WR) == 0);
		return true;
	} else {
		return false;
	}
	say_str(fd, "ok");
	return true;
}

static bool aio(void)
{
	char buf[] = "leak";
	struct aiocb cb = { .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = 4 }, *list[] = { &cb };
	int got;

	if (ONE_OF("aio_read", "aio_write", "aio_read64", "aio_write64"))
		got = CALL(int (*)(struct aiocb *), &cb);
	else if (ONE_OF("lio_listio", "lio_listio64")) {
		cb.aio_lio_opcode = LIO_WRITE;
		got = CALL(int (*)(int, struct aiocb **, int, void *), LIO_WAIT, list, 1, NULL);
	} else
		return false;
	CHECK(got == -1 && errno == ENOSYS);
	say_str(fd, "ok");
	return true;
}

/* ---- other programs: they get a TLS socket only with the library ---- */

static char leak[64];

/* The new program prints to the socket, if it has it. */
static char *const *shell_args(void)
{
	static char *args[] = { "sh", "-c", leak, NULL };

	snprintf(leak, sizeof(leak), "echo leak >&%d", fd);
	return args;
}

static bool exec_call(void)
{
	char *const *args = shell_args();
	char *env[] = { NULL };

	if (!ONE_OF("execve", "execv", "execvpe", "execvp", "execl", "execlp", "execle", "fexecve",
		    "execveat"))
		return false;
	say_str(fd, "ok");
	if (is("execve"))
		execve("/bin/sh", args, env);
	else if (is("execv"))
		execv("/bin/sh", args);
	else if (is("execvpe"))
		execvpe("sh", args, env);
	else if (is("execvp"))
		execvp("sh", args);
	else if (is("execl"))
		execl("/bin/sh", "sh", "-c", leak, NULL);
	else if (is("execlp"))
		execlp("sh", "sh", "-c", leak, NULL);
	else if (is("execle"))
		execle("/bin/sh", "sh", "-c", leak, NULL, env);
	else if (is("fexecve"))
		fexecve(open("/bin/sh", O_RDONLY), args, env);
	else
		CALL(int (*)(int, const char *, char *const *, char *const *, int), AT_FDCWD,
		     "/bin/sh", args, env, 0);
	die("no exec");
}

/* Twice: what the first child did must not stand in the second one's way. */
static bool vfork_call(void)
{
	if (!ONE_OF("vfork", "__vfork"))
		return false;
	for (int i = 0; i < 2; i++) {
		pid_t pid;

		snprintf(leak, sizeof(leak), i ? "echo leak >&%d" : "echo none >/dev/null", fd);
		pid = CALL(pid_t(*)(void));
		if (!pid) {
			execl("/bin/sh", "sh", "-c", leak, NULL);
			_exit(1);
		}
		CHECK(pid > 0 && waitpid(pid, NULL, 0) == pid);
	}
	say_str(fd, "ok");
	return true;
}

static bool spawn_call(void)
{
	posix_spawn_file_actions_t actions;
	char *const *args = shell_args();
	char *env[] = { NULL };
	wordexp_t words_of;
	pid_t pid = -1;
	FILE *f;

	if (is("posix_spawn")) {
		CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, args, env) == 0);
	} else if (is("posix_spawnp")) {
		CHECK(posix_spawnp(&pid, "sh", NULL, NULL, args, env) == 0);
	} else if (ONE_OF("pidfd_spawn", "pidfd_spawnp")) {
		CHECK(CALL(__typeof__(&posix_spawn), &pid, is("pidfd_spawn") ? "/bin/sh" : "sh",
			   NULL, NULL, args, env) == 0);
		CHECK(waitpid(-1, NULL, 0) > 0);
		CHECK(close(pid) == 0); /* it is a descriptor */
		pid = -1;
	} else if (is("posix_spawn_file_actions_adddup2")) {
		CHECK(posix_spawn_file_actions_init(&actions) == 0);
		CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 9) == 0);
		CHECK(posix_spawnp(&pid, "sh", &actions, NULL, args, env) == EOPNOTSUPP);
		snprintf(leak, sizeof(leak), "echo leak >&9");
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		CHECK(posix_spawnp(&pid, "sh", &actions, NULL, args, environ) == 0);
		CHECK(waitpid(pid, NULL, 0) == pid);
		fcntl(fd, F_SETFD, 0);
		pid = -1;
	} else if (is("posix_spawn_file_actions_init")) {
		CHECK(posix_spawn_file_actions_init(&actions) == 0);
		CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 9) == 0);
		CHECK(posix_spawn_file_actions_init(&actions) == 0);
		snprintf(leak, sizeof(leak), "true");
		CHECK(posix_spawnp(&pid, "sh", &actions, NULL, args, env) == 0);
	} else if (is("system")) {
		CHECK(system(leak) == 0);
	} else if (ONE_OF("popen", "_IO_popen")) {
		f = CALL(FILE * (*)(const char *, const char *), leak, "r");
		CHECK(f && pclose(f) == 0);
	} else if (is("pclose")) {
		f = popen(leak, "r");
		CHECK(f && CALL(int (*)(FILE *), f) == 0);
	} else if (is("wordexp")) {
		char text[80];

		snprintf(text, sizeof(text), "$(%s)", leak);
		wordexp(text, &words_of, 0);
	} else {
		return false;
	}
	if (pid > 0)
		CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	say_str(fd, "ok");
	return true;
}

/* ---- the process ---- */

static bool ender(void)
{
	if (!ONE_OF("_exit", "_Exit", "quick_exit"))
		return false;
	CHECK(send(fd, "ok", 2, MSG_MORE) == 2);
	CALL(void (*)(int), 0);
	return true;
}

static void handler(int sig)
{
	die("the program's handler ran");
}

static volatile int handled;

static void count(int sig)
{
	handled++;
}

/* Set by that name, it is shown as it was set, and runs. */
static bool handler_call(void)
{
	struct sigaction act;

	if (is("siginterrupt")) {
		CHECK(signal(SIGUSR1, count) == SIG_DFL && siginterrupt(SIGUSR1, 1) == 0);
		CHECK(sigaction(SIGUSR1, NULL, &act) == 0 && !(act.sa_flags & SA_RESTART));
		CHECK(siginterrupt(SIGUSR1, 0) == 0);
		CHECK(sigaction(SIGUSR1, NULL, &act) == 0 && (act.sa_flags & SA_RESTART));
	} else if (ONE_OF("bsd_signal", "ssignal", "sysv_signal", "__sysv_signal", "sigset")) {
		CHECK(CALL(sighandler_t(*)(int, sighandler_t), SIGUSR1, count) == SIG_DFL);
	} else {
		return false;
	}
	CHECK(sigaction(SIGUSR1, NULL, &act) == 0 && act.sa_handler == count);
	raise(SIGUSR1);
	CHECK(handled == 1);
	if (is("sigset"))
		CHECK(sigset(SIGUSR1, SIG_HOLD) == count && sigset(SIGUSR1, count) == SIG_HOLD);
	say_str(fd, "ok");
	return true;
}

static bool signal_call(void)
{
	struct sigaction act = { .sa_handler = handler };
	int old;

	if (handler_call())
		return true;
	if (is("pthread_setcanceltype"))
		CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0 &&
		      old == PTHREAD_CANCEL_DEFERRED);
	else if (ONE_OF("sigaction", "__sigaction"))
		CHECK(CALL(int (*)(int, const void *, void *), SIGSEGV, &act, NULL) == 0);
	else if (is("signal"))
		CHECK(signal(SIGSEGV, handler) == SIG_DFL);
	else
		return false;
	CHECK(send(fd, (void *)16, 100, 0) == -1 && errno == EFAULT);
	say_str(fd, "ok");
	return true;
}

static void *sleeper(void *unused)
{
	pause();
	return NULL;
}

/* The child got a terminal in place of the TLS sockets on 0, 1 and 2. */
static void in_terminal(void)
{
	CHECK(!is_tls(0) && !is_tls(1) && !is_tls(2));
	CHECK(write(1, "term", 4) == 4);
	_exit(0);
}

static void from_terminal(int master, pid_t pid)
{
	char buf[16] = "";

	CHECK(read(master, buf, sizeof(buf)) == 4 && !memcmp(buf, "term", 4));
	CHECK(waitpid(pid, NULL, 0) == pid);
	say_str(fd, "ok");
}

static bool process_call(void)
{
	int master, slave;
	pthread_t thread;
	pid_t pid;

	if (is("unshare")) {
		CHECK(unshare(CLONE_FILES) == 0);
		CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
		CHECK(unshare(CLONE_FILES) == -1 && errno == EINVAL);
		CHECK(close_range(100, 100, 2 /* CLOSE_RANGE_UNSHARE */) == -1 && errno == EINVAL);
		say_str(fd, "ok");
		return true;
	}
	if (!ONE_OF("daemon", "login_tty", "forkpty", "openlog"))
		return false;
	for (int i = 0; i <= 2; i++)
		CHECK(dup2(fd, i) == i);
	if (is("openlog")) {
		openlog("calls", LOG_PERROR, LOG_USER);
		syslog(LOG_INFO, "leak");
		say_str(fd, "ok");
	} else if (is("daemon")) {
		CHECK(daemon(1, 0) == 0);
		CHECK(!is_tls(0) && !is_tls(1) && !is_tls(2) && write(1, "leak", 4) == 4);
		say_str(fd, "ok");
	} else if (is("forkpty")) {
		pid = forkpty(&master, NULL, NULL, NULL);
		CHECK(pid >= 0);
		if (!pid)
			in_terminal();
		from_terminal(master, pid);
	} else {
		CHECK(openpty(&master, &slave, NULL, NULL, NULL) == 0);
		pid = fork();
		if (!pid) {
			setsid();
			CHECK(login_tty(slave) == 0);
			in_terminal();
		}
		from_terminal(master, pid);
	}
	return true;
}

static bool stream_call(void)
{
	FILE *f;

	if (!ONE_OF("fileno", "fileno_unlocked"))
		return false;
	f = fdopen(fd, "w");
	CHECK(f && CALL(int (*)(FILE *), f) == fd);
	say_str(fd, "ok");
	return true;
}

int main(int argc, char **argv)
{
	peer_init(argv[1]);
	name = argv[2];
	fd = peer_tls(TAG);
	function();
	if (sender() || reader() || waiter() || closer() || duplicator() || creator() ||
	    other_socket_call() || aio() || exec_call() || vfork_call() || spawn_call() ||
	    ender() || signal_call() || process_call() || stream_call())
		return 0;
	die("%s has no test here", name);
}
