// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/iov.h"

#include "user/fault.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

#define IOV_PIECES_MAX 1024

/* The array itself may be bad: one guarded copy of all of it. */
static int take_in(struct iov_cursor *c, const struct iovec *iov, size_t count)
{
	struct iovec copy[IOV_PIECES_MAX];

	if (fault_copy(copy, iov, count * sizeof(*iov)))
		return -EFAULT;
	if (count)
		c->start = (uintptr_t)copy[0].iov_base;
	for (size_t i = 0; i < count; i++) {
		if (copy[i].iov_len > SSIZE_MAX - c->left)
			return -EINVAL;
		c->left += copy[i].iov_len;
	}
	return 0;
}

int iov_start(struct iov_cursor *c, const struct iovec *iov, size_t count, int too_many)
{
	if (count > IOV_PIECES_MAX)
		return too_many;
	*c = (struct iov_cursor){ .iov = iov, .count = count };
	return take_in(c, iov, count);
}

static void skip_empty(struct iov_cursor *c)
{
	while (c->count && c->off >= c->iov->iov_len) {
		c->off = 0;
		c->iov++;
		c->count--;
	}
}

const uint8_t *iov_contiguous(const struct iov_cursor *c, size_t n)
{
	struct iov_cursor at = *c;

	skip_empty(&at);
	if (!at.count || at.iov->iov_len - at.off < n)
		return NULL;
	return (const uint8_t *)at.iov->iov_base + at.off;
}

void iov_advance(struct iov_cursor *c, size_t n)
{
	c->left -= n;
	while (n) {
		size_t here;

		skip_empty(c);
		if (!c->count)
			return;
		here = c->iov->iov_len - c->off;
		here = here < n ? here : n;
		c->off += here;
		n -= here;
	}
}

/* One guard for all pieces: there may be a thousand small ones. */
static ssize_t copy(struct iov_cursor *c, uint8_t *out, const uint8_t *in, size_t n)
{
	volatile size_t done = 0;
	volatile bool bad = true;
	sigjmp_buf jump;

	if (fault_guarded(jump)) {
		struct iov_cursor at = *c;

		while (done < n) {
			uint8_t *user;
			size_t here;

			skip_empty(&at);
			if (!at.count)
				break;
			user = (uint8_t *)at.iov->iov_base + at.off;
			here = at.iov->iov_len - at.off;
			here = here < n - done ? here : n - done;
			fault_move(out ? out + done : user, out ? user : in + done, here);
			at.off += here;
			done += here;
		}
		bad = false;
		fault_done();
	}
	iov_advance(c, done);
	return done || !bad ? (ssize_t)done : -EFAULT;
}

ssize_t iov_read(struct iov_cursor *c, uint8_t *dst, size_t n)
{
	return copy(c, dst, NULL, n);
}

ssize_t iov_write(struct iov_cursor *c, const uint8_t *src, size_t n)
{
	return copy(c, NULL, src, n);
}
