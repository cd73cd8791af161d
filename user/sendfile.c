// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/sendfile.h"

#include "user/fault.h"
#include "user/real.h"
#include "user/send.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define COUNT_MAX 0x7ffff000 /* what one call moves at most (sendfile(2)) */

/* A file from an offset on. It may turn out shorter than it said. */
struct file_source {
	struct source source;
	int fd;
	off64_t at;
};

static int file_fill(struct source *src, size_t at, uint8_t *dst, size_t n)
{
	struct file_source *f = (struct file_source *)src;
	size_t done = 0;

	while (done < n) {
		ssize_t got = sys_call(SYS_pread64, f->fd, dst + done, n - done, f->at + at + done);

		if (got < 0)
			return -errno;
		if (!got) {
			src->left = at + done;
			return -ENODATA;
		}
		done += got;
	}
	return 0;
}

static void file_accept(struct source *src, size_t n)
{
	((struct file_source *)src)->at += n;
	src->left -= n;
}

/* How much of the file there is from @at on, or negative errno. */
static int clip(int fd, off64_t at, size_t *count)
{
	struct stat64 st;

	if (fstat64(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -EINVAL;
	if (*count > COUNT_MAX)
		*count = COUNT_MAX;
	/* Files of /proc say 0 and have bytes all the same: these end where read says so. */
	if (S_ISREG(st.st_mode) && st.st_size) {
		if (at >= st.st_size)
			*count = 0;
		else if ((off64_t)*count > st.st_size - at)
			*count = st.st_size - at;
	}
	return 0;
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

ssize_t sendfile_tls(struct conn *c, int fd, int in_fd, off64_t *offset, size_t count)
{
	struct file_source f = { { 0, file_fill, NULL, file_accept }, in_fd, 0 };
	ssize_t done;
	int err = start_of(in_fd, offset, &f.at);

	if (!err)
		err = clip(in_fd, f.at, &count);
	if (err) {
		errno = -err;
		return -1;
	}
	f.source.left = count;
	done = send_source(c, fd, &f.source, TLSULP_DATA, 0);
	if (done > 0 && offset)
		*offset = f.at;
	else if (done > 0)
		lseek64(in_fd, f.at, SEEK_SET);
	return done;
}
