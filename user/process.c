// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/process.h"

#include "user/real.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct self {
	pid_t pid; /* 0 after a fork: the kernel wiped the page */
};

static struct self fallback;
static struct self *self = &fallback;

static __thread struct {
	pid_t pid;
	pid_t tid;
} thread;

static pid_t raw_getpid(void)
{
	return sys_call(SYS_getpid);
}

void process_init(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (self != &fallback)
		return;
	if (page != MAP_FAILED && !madvise(page, 4096, MADV_WIPEONFORK))
		self = page;
	self->pid = raw_getpid();
}

bool process_forked(void)
{
	if (__builtin_expect(self->pid != 0, 1))
		return false;
	self->pid = raw_getpid();
	return true;
}

pid_t process_pid(void)
{
	return self->pid;
}

pid_t process_tid(void)
{
	if (thread.pid != self->pid || !thread.tid) {
		thread.tid = sys_call(SYS_gettid);
		thread.pid = self->pid;
	}
	return thread.tid;
}

bool process_is_vfork_child(void)
{
	return self->pid && raw_getpid() != self->pid;
}

/* What /proc/PID/stat says, as far as it is needed here (proc_pid_stat(5)). */
struct proc_stat {
	char state; /* field 3; 0: unknown */
	uint64_t threads; /* field 20 */
	uint64_t start; /* field 22 */
};

static struct proc_stat read_stat(pid_t pid)
{
	struct proc_stat stat = { 0 };
	char path[32], buf[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return stat;
	n = sys_call(SYS_read, fd, buf, sizeof(buf) - 1);
	sys_call(SYS_close, fd);
	if (n <= 0)
		return stat;
	buf[n] = 0;
	p = strrchr(buf, ')'); /* the name before it may hold anything */
	for (int field = 3; p && field <= 22; field++) {
		p = strchr(p + 1, ' ');
		if (p && field == 3)
			stat.state = p[1];
		else if (p && field == 20)
			stat.threads = strtoull(p + 1, NULL, 10);
		else if (p && field == 22)
			stat.start = strtoull(p + 1, NULL, 10);
	}
	return stat;
}

uint64_t process_start(pid_t pid)
{
	return read_stat(pid).start;
}

static bool is_zombie(const struct proc_stat *stat)
{
	return stat->state == 'Z' || stat->state == 'X';
}

bool process_thread_alive(pid_t tid)
{
	struct proc_stat stat;

	if (sys_call(SYS_tkill, tid, 0) < 0 && errno == ESRCH)
		return false;
	stat = read_stat(tid);
	return !is_zombie(&stat);
}

bool process_has_thread(pid_t pid, pid_t tid)
{
	return !sys_call(SYS_tgkill, pid, tid, 0) || errno == EPERM;
}

bool process_alive(pid_t pid, uint64_t start)
{
	struct proc_stat stat;

	if (sys_call(SYS_kill, pid, 0) < 0 && errno == ESRCH)
		return false;
	stat = read_stat(pid);
	/* Its first thread may be a zombie while others go on. */
	if (is_zombie(&stat) && stat.threads <= 1)
		return false;
	return !stat.start || !start || stat.start == start;
}
