// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring.h"

#include "user/fdtab.h"
#include "user/real.h"
#include "user/say.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* Together less than a thousandth of the CPU time. */
#define LOOK_EVERY_NS 100000000ll
#define LOOK_NS 70000ll
#define NUMBERS 32 /* between two looks at the clock */

static int seen;
static int64_t next_look;
static int next_number; /* where the next look begins */
static bool looked; /* once, at all of them */

void uring_seen(void)
{
	__atomic_store_n(&seen, 1, __ATOMIC_RELAXED);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* One more than the largest number that can be open (proc_pid_status(5)); 0: unknown. */
static int numbers_end(void)
{
	char buf[4096], *p;
	int fd = sys_call(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = sys_call(SYS_read, fd, buf, sizeof(buf) - 1);
	sys_call(SYS_close, fd);
	buf[n > 0 ? n : 0] = 0;
	p = strstr(buf, "\nFDSize:");
	return p ? atoi(p + strlen("\nFDSize:")) : 0;
}

/* Only what is no file, socket or pipe is asked for its name, which takes long. */
static bool is_ring(int fd)
{
	char path[32], link[64];
	struct stat st;
	ssize_t n;

	if (fdtab_get(fd) || fstat(fd, &st) || (st.st_mode & S_IFMT))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_call(SYS_readlinkat, AT_FDCWD, path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = 0;
	return !strcmp(link, "anon_inode:[io_uring]");
}

/*
 * All numbers the first time. Later as many as there is time for, so that a process
 * with many is gone through bit by bit.
 */
static void look(void)
{
	int64_t stop = clock_ns(CLOCK_THREAD_CPUTIME_ID) + LOOK_NS;
	int end = numbers_end(), fd = __atomic_load_n(&next_number, __ATOMIC_RELAXED);
	bool whole = !__atomic_load_n(&looked, __ATOMIC_RELAXED);

	for (int n = 0; n < end && !seen; n++, fd++) {
		if (!whole && n && n % NUMBERS == 0 && clock_ns(CLOCK_THREAD_CPUTIME_ID) >= stop)
			break;
		if (fd >= end)
			fd = 0;
		if (is_ring(fd))
			uring_seen();
	}
	__atomic_store_n(&next_number, fd, __ATOMIC_RELAXED);
	__atomic_store_n(&looked, true, __ATOMIC_RELAXED);
}

bool uring_may_read(void)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);

	if (!seen && now >= __atomic_load_n(&next_look, __ATOMIC_RELAXED)) {
		look();
		__atomic_store_n(&next_look, now + LOOK_EVERY_NS, __ATOMIC_RELAXED);
	}
	return seen;
}

bool uring_is_here(void)
{
	const char *allow;

	if (!uring_may_read())
		return false;
	allow = getenv("TLSULP_IO_URING");
	return !allow || strcmp(allow, "allow");
}

int uring_check(void)
{
	static int told;

	if (!uring_is_here())
		return 0;
	say_once(told,
		 "this process has an io_uring, whose I/O cannot be seen from here: TCP_ULP is "
		 "refused (ENOENT). Turn io_uring off in the program, or set "
		 "TLSULP_IO_URING=allow if it never uses a ring on a TLS socket.");
	return -ENOENT;
}
