/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * keylog.so: preloaded before libtlsulp.so by the conformance run alone. It
 * writes each key that a program installs, and where in the byte stream the
 * key begins, to the file named in TLS_CONFORMANCE_KEYLOG. One line, one
 * O_APPEND write:
 *
 *	KEY time pid cookie TX|RX local-ip local-port peer-ip peer-port \
 *	    before after check crypto_info
 *	EXIT time pid
 *
 * Addresses are hex (IPv4 as ::ffff:a.b.c.d), before and after are the bytes
 * that the kernel's socket had taken around the call (0 for RX), check is the
 * same figure as after, from other counters of the kernel. EXIT tells a
 * process that left by _exit() from one that was killed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SOL_TLS 282
#define TLS_TX 1
#define TLS_RX 2
#define LINE_MAX_BYTES 1024
#define KEY_MAX 128

typedef int (*setsockopt_fn)(int, int, int, const void *, socklen_t);
typedef long (*syscall_fn)(long, ...);

static setsockopt_fn next_setsockopt;
static void (*next__exit)(int);
static syscall_fn libc_syscall;

/* libc's own syscall(), so that no ULP preload stands between this log and the kernel. */
static void __attribute__((constructor)) find_functions(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

	next_setsockopt = (setsockopt_fn)dlsym(RTLD_NEXT, "setsockopt");
	next__exit = (void (*)(int))dlsym(RTLD_NEXT, "_exit");
	libc_syscall = libc ? (syscall_fn)dlsym(libc, "syscall") : NULL;
	if (!next_setsockopt || !next__exit || !libc_syscall)
		abort();
}

static void log_line(const char *line, int len)
{
	const char *path = getenv("TLS_CONFORMANCE_KEYLOG");
	long fd;

	if (!path)
		return;
	fd = libc_syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
	/* A key that is not logged cannot be checked: that must not go unseen. */
	if (fd < 0 || libc_syscall(SYS_write, fd, line, (size_t)len) != len)
		abort();
	libc_syscall(SYS_close, fd);
}

static int get_info(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return (int)libc_syscall(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

static uint64_t offset_of(const struct tcp_info *info)
{
	return info->tcpi_bytes_sent - info->tcpi_bytes_retrans + info->tcpi_notsent_bytes;
}

/*
 * How many bytes of payload have been given to the socket. The counters of
 * one TCP_INFO are of one moment; check is made from bytes_acked (which may
 * count the SYN) and SIOCOUTQ, and is -1 while the two will not hold still.
 */
static uint64_t stream_offset(int fd, int64_t *check)
{
	struct tcp_info first, again;
	int outq, tries;

	*check = -1;
	if (get_info(fd, &first))
		return 0;
	for (tries = 0; tries < 1000; tries++) {
		if (libc_syscall(SYS_ioctl, fd, SIOCOUTQ, &outq) || get_info(fd, &again))
			break;
		if (first.tcpi_bytes_acked == again.tcpi_bytes_acked &&
		    offset_of(&first) == offset_of(&again)) {
			*check = (int64_t)again.tcpi_bytes_acked + outq;
			break;
		}
		first = again;
	}
	return offset_of(&first);
}

static int put(char *line, int at, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line + at, LINE_MAX_BYTES - at, format, args);
	va_end(args);
	return at + n;
}

static int put_hex(char *line, int at, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < len; i++)
		at = put(line, at, "%02x", bytes[i]);
	return at;
}

static int put_address(char *line, int at, int fd, long call)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	union {
		struct sockaddr_storage storage;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr;
	socklen_t len = sizeof(addr);

	memset(&addr, 0, sizeof(addr));
	libc_syscall(call, fd, &addr, &len);
	if (addr.storage.ss_family == AF_INET6) {
		at = put_hex(line, at, &addr.in6.sin6_addr, 16);
		return put(line, at, " %u ", ntohs(addr.in6.sin6_port));
	}
	at = put_hex(line, at, mapped, sizeof(mapped));
	at = put_hex(line, at, &addr.in.sin_addr, 4);
	return put(line, at, " %u ", ntohs(addr.in.sin_port));
}

static int put_start(char *line, const char *what)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return put(line, 0, "%s %lld.%09ld %d", what, (long long)now.tv_sec, now.tv_nsec, getpid());
}

static void log_key(int fd, int direction, uint64_t before, const void *key, socklen_t key_len)
{
	char line[LINE_MAX_BYTES];
	uint64_t cookie = 0, after = 0;
	socklen_t len = sizeof(cookie);
	int64_t check = 0;
	int at;

	if (direction == TLS_TX)
		after = stream_offset(fd, &check);
	libc_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	at = put_start(line, "KEY");
	at = put(line, at, " %llu %s ", (unsigned long long)cookie,
		 direction == TLS_TX ? "TX" : "RX");
	at = put_address(line, at, fd, SYS_getsockname);
	at = put_address(line, at, fd, SYS_getpeername);
	at = put(line, at, "%llu %llu %lld ", (unsigned long long)before, (unsigned long long)after,
		 (long long)check);
	at = put_hex(line, at, key, key_len < KEY_MAX ? key_len : KEY_MAX);
	at = put(line, at, "\n");
	log_line(line, at);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	uint64_t before = 0;
	int64_t unused;
	int ret, saved;

	/* Another library's constructor may come before ours. */
	if (!next_setsockopt)
		find_functions();
	if (level != SOL_TLS || (name != TLS_TX && name != TLS_RX))
		return next_setsockopt(fd, level, name, value, len);
	saved = errno;
	if (name == TLS_TX)
		before = stream_offset(fd, &unused);
	errno = saved;
	ret = next_setsockopt(fd, level, name, value, len);
	saved = errno;
	if (!ret)
		log_key(fd, name, before, value, len);
	errno = saved;
	return ret;
}

static void __attribute__((destructor)) log_exit(void)
{
	char line[LINE_MAX_BYTES];
	int at = put_start(line, "EXIT");

	at = put(line, at, "\n");
	log_line(line, at);
}

void _exit(int status)
{
	log_exit();
	for (;;)
		next__exit(status);
}
