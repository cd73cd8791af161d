/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A place in the caller's vector. The memory it points to is the caller's: every touch is guarded.
 */
#ifndef TLSULP_IOV_H
#define TLSULP_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct iov_cursor {
	const struct iovec *iov;
	size_t count; /* pieces from iov on */
	size_t off; /* in the first of them */
	size_t left; /* bytes from here to the end */
	uintptr_t start; /* the first piece's address, as it was when the call began: a hint */
};

/*
 * Start of @iov. 0, -EFAULT (the vector itself is bad), -EINVAL (a length or
 * the sum is over SSIZE_MAX) or @too_many (negative errno: over 1,024 pieces).
 */
int iov_start(struct iov_cursor *c, const struct iovec *iov, size_t count, int too_many);

/* The next @n bytes if they lie in one piece, else NULL. Does not move. */
const uint8_t *iov_contiguous(const struct iov_cursor *c, size_t n);

void iov_advance(struct iov_cursor *c, size_t n);

/*
 * Copy @n (<= left) bytes out of (into) the vector and move on. Returns the
 * bytes copied before a bad pointer (moved on by these), or -EFAULT if none.
 */
ssize_t iov_read(struct iov_cursor *c, uint8_t *dst, size_t n);
ssize_t iov_write(struct iov_cursor *c, const uint8_t *src, size_t n);

#endif
