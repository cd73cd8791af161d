/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How much of a timeout is left, over several waits. */
#ifndef TLSULP_CLOCK_H
#define TLSULP_CLOCK_H

#include <stdbool.h>
#include <time.h>

struct clock {
	bool endless;
	struct timespec end; /* CLOCK_MONOTONIC */
};

/* From now on; @timeout NULL: for ever. */
struct clock clock_start(const struct timespec *timeout);

/* What is left, at most @cap_ms (-1: no cap), in *@left; NULL: for ever. */
const struct timespec *clock_left(const struct clock *c, int cap_ms, struct timespec *left);

bool clock_is_over(const struct clock *c);

#endif
