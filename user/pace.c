// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/pace.h"

#define WAITS_ALONE 32 /* a window without naps */
#define NAPPING_NS 300000 /* one with them, each of which takes 0.1 ms */
#define FAST_NS 40000 /* a record's time in a stream for which naps are tried */
#define SECOND_NS 1000000000
#define MANY 8 /* so many records a wait: nobody is woken often */
#define WINDOWS 64 /* after so many with naps, one without: is the stream still slower then? */
#define PAUSE_MIN 128
#define PAUSE_MAX 32768

static void begin_window(struct pace *p, int64_t now_ns, uint64_t records)
{
	p->since_ns = now_ns;
	p->records = records;
	p->waits = 1;
}

/* What was measured is of another stream. */
static void forget(struct pace *p)
{
	p->waits = p->windows = 0;
	p->alone_ns = p->napping_ns = 0;
}

static void leave_alone(struct pace *p)
{
	p->pause_last = p->pause_last ? 2 * p->pause_last : PAUSE_MIN;
	if (p->pause_last > PAUSE_MAX)
		p->pause_last = PAUSE_MAX;
	p->pause = p->pause_last;
	p->waits = p->windows = 0;
	p->napping_ns = 0;
}

static bool is_over(const struct pace *p, int64_t now_ns)
{
	return p->windows ? now_ns - p->since_ns >= NAPPING_NS : p->waits > WAITS_ALONE;
}

/* The new one counts for 1/@n. */
static int64_t average(int64_t old, int64_t each_ns, int n)
{
	return old ? old + (each_ns - old) / n : each_ns;
}

/* A window is over, in which @n records came. */
static void judge(struct pace *p, int64_t now_ns, uint64_t n, bool (*is_worth)(int fd), int fd)
{
	int64_t each_ns = n ? (now_ns - p->since_ns) / (int64_t)n : SECOND_NS;

	if (!p->windows) {
		if (each_ns >= FAST_NS || n >= MANY * WAITS_ALONE)
			return forget(p);
		p->alone_ns = average(p->alone_ns, each_ns, 2);
		if (is_worth(fd))
			p->windows = 1;
		else
			leave_alone(p);
		return;
	}
	p->napping_ns = average(p->napping_ns, each_ns, 4);
	if (p->napping_ns > p->alone_ns - p->alone_ns / 16) {
		leave_alone(p);
	} else {
		p->pause_last = 0;
		p->windows = p->windows < WINDOWS ? p->windows + 1 : 0;
	}
}

bool pace_wait(struct pace *p, int64_t now_ns, uint64_t records, uint64_t sent,
	       bool (*is_worth)(int fd), int fd)
{
	if (p->sent != sent) {
		p->sent = sent;
		forget(p);
	}
	if (p->pause) {
		p->pause--;
		return false;
	}
	if (!p->waits || records < p->records) {
		begin_window(p, now_ns, records);
		return p->windows;
	}
	p->waits++;
	if (is_over(p, now_ns)) {
		judge(p, now_ns, records - p->records, is_worth, fd);
		if (!p->pause)
			begin_window(p, now_ns, records);
	}
	return p->windows;
}
