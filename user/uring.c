// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring.h"

#include "user/real.h"
#include "user/say.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define LOOK_EVERY_NS 100000000ll

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

static int seen;
static int64_t next_look;

void uring_seen(void)
{
	__atomic_store_n(&seen, 1, __ATOMIC_RELAXED);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static bool is_ring(int dir, const char *name)
{
	char link[64];
	ssize_t n = sys_call(SYS_readlinkat, dir, name, link, sizeof(link) - 1);

	if (n < 0)
		return false;
	link[n] = 0;
	return !strcmp(link, "anon_inode:[io_uring]");
}

static void look(void)
{
	char buf[4096] __attribute__((aligned(8)));
	int dir =
		sys_call(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (dir < 0)
		return;
	while (!seen && (n = sys_call(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && !seen;) {
			struct linux_dirent64 *d = (struct linux_dirent64 *)(buf + at);

			if (is_ring(dir, d->d_name))
				uring_seen();
			at += d->d_reclen;
		}
	}
	sys_call(SYS_close, dir);
}

bool uring_is_here(void)
{
	int64_t now = now_ns();
	const char *allow;

	if (!seen && now >= __atomic_load_n(&next_look, __ATOMIC_RELAXED)) {
		look();
		__atomic_store_n(&next_look, now + LOOK_EVERY_NS, __ATOMIC_RELAXED);
	}
	if (!seen)
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
