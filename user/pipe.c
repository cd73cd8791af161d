// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * RWF_NOWAIT is for that, on pipes since Linux 6.4. Older kernels have vmsplice(), which has a
 * flag of its own and gives pages instead of copying.
 */
#include "user/pipe.h"

#include "user/real.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static bool no_nowait; /* this kernel refuses it for pipes */

static bool is_old(void)
{
	return __atomic_load_n(&no_nowait, __ATOMIC_RELAXED);
}

static bool is_before_6_4(void)
{
	struct utsname name;
	int major, minor;

	return !uname(&name) && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major < 6 || (major == 6 && minor < 4));
}

/* Newer kernels refuse it for a pipe that they have spliced into themselves, and for some FIFOs. */
static bool is_unknown(ssize_t done)
{
	if (done >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
		return false;
	if (errno == ENOSYS || is_before_6_4())
		__atomic_store_n(&no_nowait, true, __ATOMIC_RELAXED);
	return true;
}

int pipe_wait(int fd, short events, bool nonblock)
{
	struct pollfd p = { fd, events, 0 };
	int n;

	nonblock = nonblock || (real.fcntl(fd, F_GETFL) & O_NONBLOCK);
	n = real.poll(&p, 1, nonblock ? 0 : -1);
	return n > 0 ? 0 : n ? -errno : -EAGAIN;
}

static ssize_t give_pages(int fd, void *p, size_t n)
{
	struct iovec iov = { p, n };
	ssize_t done = sys_call(SYS_vmsplice, fd, &iov, 1, SPLICE_F_NONBLOCK);

	return done < 0 ? -errno : done;
}

/* By a pipe of our own, which splice() fills without waiting. */
static ssize_t read_by_way(int fd, uint8_t *p, size_t n)
{
	ssize_t moved, got = 0;
	int own[2];

	if (real.pipe2(own, O_CLOEXEC))
		return -errno;
	moved = sys_call(SYS_splice, fd, NULL, own[1], NULL, n, SPLICE_F_NONBLOCK);
	if (moved < 0)
		moved = -errno;
	while (got < moved) /* all of it is there */
		got += sys_call(SYS_read, own[0], p + got, moved - got);
	sys_call(SYS_close, own[0]);
	sys_call(SYS_close, own[1]);
	return moved;
}

/* vmsplice() out of a pipe copies; with an end open for both ways it would go the other way. */
static ssize_t read_old(int fd, uint8_t *p, size_t n)
{
	struct pollfd ended = { fd, POLLIN, 0 };
	struct timespec now = { 0, 0 };
	int queued = 0;

	if ((real.fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return read_by_way(fd, p, n);
	if (real.ioctl(fd, FIONREAD, &queued))
		return -errno;
	if (queued)
		return give_pages(fd, p, n);
	if (sys_call(SYS_ppoll, &ended, 1, &now, NULL, 0) > 0 && !(ended.revents & POLLIN))
		return 0;
	return -EAGAIN;
}

/* Fresh pages, so that neither side shares memory with the other. */
static ssize_t write_old(int fd, const uint8_t *p, size_t n)
{
	ssize_t put;
	void *pages = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return -ENOMEM;
	memcpy(pages, p, n);
	put = give_pages(fd, pages, n);
	munmap(pages, n);
	return put;
}

ssize_t pipe_read(int fd, uint8_t *p, size_t n)
{
	struct iovec iov = { p, n };
	ssize_t got;

	if (is_old())
		return read_old(fd, p, n);
	got = sys_call(SYS_preadv2, fd, &iov, 1, -1L, -1L, RWF_NOWAIT);
	if (is_unknown(got))
		return read_old(fd, p, n);
	return got < 0 ? -errno : got;
}

ssize_t pipe_write(int fd, const uint8_t *p, size_t n)
{
	struct iovec iov = { (void *)p, n };
	ssize_t put;

	if (is_old())
		return write_old(fd, p, n);
	put = sys_call(SYS_pwritev2, fd, &iov, 1, -1L, -1L, RWF_NOWAIT);
	if (is_unknown(put))
		return write_old(fd, p, n);
	return put < 0 ? -errno : put;
}
