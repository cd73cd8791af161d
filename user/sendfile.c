// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/sendfile.h"

#include "user/fault.h"
#include "user/kind.h"
#include "user/real.h"
#include "user/send.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define COUNT_MAX 0x7ffff000 /* what one call moves at most (sendfile(2)) */

#define WINDOW_MAX ((off64_t)4 << 20) /* of a file is mapped at once */
#define PAGE 4096
#define BAD_PAGE ((const uint8_t *)1) /* faults: the seal says EFAULT, the call EIO */

/* A file from an offset on. It may turn out shorter than the call asked for. */
struct file_source {
	struct source source;
	int fd;
	off64_t at;
	size_t there; /* bytes from @at on that scatter() brought to their places */
	uint8_t *window; /* the file mapped, from window_at on; NULL: not */
	off64_t window_at, window_end;
};

static int file_fill(struct source *src, size_t at, uint8_t *dst, size_t n)
{
	struct file_source *f = (struct file_source *)src;
	size_t done = at < f->there ? f->there - at : 0;

	while (done < n) {
		ssize_t got = sys_call(SYS_pread64, f->fd, dst + done, n - done, f->at + at + done);

		if (got < 0)
			return errno == ESPIPE ? -EINVAL : -errno;
		if (!got) {
			src->left = at + done;
			return -ENODATA;
		}
		done += got;
	}
	return 0;
}

static void file_scatter(struct source *src, const struct iovec *places, size_t count)
{
	struct file_source *f = (struct file_source *)src;
	ssize_t got = count ? sys_call(SYS_preadv, f->fd, places, count, f->at, 0L) : 0;

	f->there = got > 0 ? got : 0;
}

static void close_window(struct file_source *f)
{
	if (f->window)
		munmap(f->window, f->window_end - f->window_at);
	f->window = NULL;
}

/* Does the file still have what the call is to send? A page's end reads as zeros, no fault. */
static bool has_shrunk(const struct file_source *f)
{
	struct stat64 st;

	return fstat64(f->fd, &st) || st.st_size < f->at + (off64_t)f->source.left;
}

/*
 * TLS_TX_ZEROCOPY_RO, the promise that the file does not change: seal from the
 * page cache. A file that shrinks all the same is noticed here, or faults.
 */
static const uint8_t *file_direct(struct source *src, size_t at, size_t n)
{
	struct file_source *f = (struct file_source *)src;
	off64_t from = f->at + (off64_t)at, end = f->at + (off64_t)src->left;

	if (!at && has_shrunk(f))
		return BAD_PAGE;
	/* Before the window: records of a batch that went past it are sealed once more. */
	if (!f->window || from < f->window_at || from + (off64_t)n > f->window_end) {
		void *p;

		close_window(f);
		f->window_at = from & ~(off64_t)(PAGE - 1);
		f->window_end = end - f->window_at > WINDOW_MAX ? f->window_at + WINDOW_MAX : end;
		p = mmap(NULL, f->window_end - f->window_at, PROT_READ, MAP_SHARED | MAP_POPULATE,
			 f->fd, f->window_at);
		if (p == MAP_FAILED)
			return NULL;
		f->window = p;
	}
	return f->window + (from - f->window_at);
}

static void file_accept(struct source *src, size_t n)
{
	struct file_source *f = (struct file_source *)src;

	f->at += n;
	f->there = 0;
}

/* What is mapped must be there: no more than the file has. A file of /proc says 0 and is read. */
static void map_pages(struct file_source *f)
{
	struct stat64 st;

	if (fstat64(f->fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= f->at)
		return;
	if ((off64_t)f->source.left > st.st_size - f->at)
		f->source.left = st.st_size - f->at;
	f->source.direct = file_direct;
}

static int start_of(int in_fd, const off64_t *offset, off64_t *at)
{
	if (offset) {
		if (fault_copy(at, offset, sizeof(*at)))
			return -EFAULT;
		return *at < 0 ? -EINVAL : 0;
	}
	*at = lseek64(in_fd, 0, SEEK_CUR);
	return *at < 0 ? (errno == ESPIPE ? -EINVAL : -errno) : 0;
}

/* What an earlier call left would be waited for first, and for nothing. */
static bool is_waiting_at_end(const struct conn *c, const struct file_source *f)
{
	char byte;

	return c->session->tx.rest_len && !sys_call(SYS_pread64, f->fd, &byte, 1, f->at);
}

static ssize_t failed(int err)
{
	errno = -err;
	return -1;
}

ssize_t sendfile_tls(struct conn *c, int fd, int in_fd, off64_t *offset, size_t count)
{
	struct file_source f = {
		.source = { .fill = file_fill, .scatter = file_scatter, .accept = file_accept },
		.fd = in_fd,
	};
	ssize_t done;
	int err = start_of(in_fd, offset, &f.at);

	if (!err)
		err = kind_check(in_fd, KIND_FILE);
	if (err)
		return failed(err);
	if (is_waiting_at_end(c, &f))
		return 0;
	f.source.origin = f.at;
	f.source.left = count < COUNT_MAX ? count : COUNT_MAX;
	if ((off64_t)f.source.left > INT64_MAX - f.at)
		f.source.left = INT64_MAX - f.at;
	if (c->session->tx.engine.zerocopy_ro)
		map_pages(&f);
	done = send_source(c, fd, &f.source, TRANSMIT_JOIN, 0);
	if (done < 0 && errno == EFAULT && f.source.direct)
		errno = EIO;
	close_window(&f);
	if (done > 0 && !offset)
		lseek64(in_fd, f.at, SEEK_SET);
	else if (done > 0 && fault_copy(offset, &f.at, sizeof(f.at)))
		return failed(-EFAULT); /* as the kernel: the bytes are gone */
	return done;
}
