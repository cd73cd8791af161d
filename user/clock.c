// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/clock.h"

#include <stddef.h>

struct clock clock_start(const struct timespec *timeout)
{
	struct clock c = { .endless = !timeout };

	if (!timeout)
		return c;
	clock_gettime(CLOCK_MONOTONIC, &c.end);
	c.end.tv_sec += timeout->tv_sec;
	c.end.tv_nsec += timeout->tv_nsec;
	if (c.end.tv_nsec >= 1000000000l) {
		c.end.tv_nsec -= 1000000000l;
		c.end.tv_sec++;
	}
	return c;
}

const struct timespec *clock_left(const struct clock *c, int cap_ms, struct timespec *left)
{
	struct timespec cap = { cap_ms / 1000, cap_ms % 1000 * 1000000l }, now;

	if (c->endless) {
		*left = cap;
		return cap_ms < 0 ? NULL : left;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	left->tv_sec = c->end.tv_sec - now.tv_sec;
	left->tv_nsec = c->end.tv_nsec - now.tv_nsec;
	if (left->tv_nsec < 0) {
		left->tv_nsec += 1000000000l;
		left->tv_sec--;
	}
	if (left->tv_sec < 0)
		*left = (struct timespec){ 0, 0 };
	if (cap_ms >= 0 && (left->tv_sec > cap.tv_sec ||
			    (left->tv_sec == cap.tv_sec && left->tv_nsec > cap.tv_nsec)))
		*left = cap;
	return left;
}

bool clock_is_over(const struct clock *c)
{
	struct timespec left;

	if (c->endless)
		return false;
	clock_left(c, -1, &left);
	return !left.tv_sec && !left.tv_nsec;
}
