// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/pace.h"

#define NAPPING_NS 450000 /* a window with naps, of 0.2 ms each */
#define ALONE_NS 300000 /* one without, at least, and */
#define WAITS_ALONE 32 /* so many waits */
#define FAST_NS 40000 /* a record's time in a stream for which naps are tried */
#define MANY 8 /* so many records a wait: nobody is woken often */
#define TRUST_MIN 4
#define TRUST_MAX 64
#define PAUSE_EMPTY 64
#define PAUSE_MIN 128
#define PAUSE_MAX 32768
#define LONG_NAP_NS 1000000
#define PAUSE_LONG_NAP 8192

static void begin_window(struct pace *p, int64_t now_ns, uint64_t records)
{
	p->since_ns = now_ns;
	p->records = records;
	p->waits = 1;
}

/* What was measured is of another stream. */
static void forget(struct pace *p)
{
	p->waits = p->windows = p->trust = 0;
	p->alone_ns = p->napping_ns = 0;
}

static void leave_alone(struct pace *p)
{
	forget(p);
	p->pause_last = p->pause_last ? 2 * p->pause_last : PAUSE_MIN;
	if (p->pause_last > PAUSE_MAX)
		p->pause_last = PAUSE_MAX;
	p->pause = p->pause_last;
}

static bool is_over(const struct pace *p, int64_t now_ns)
{
	int64_t lasted_ns = now_ns - p->since_ns;

	return p->windows ? lasted_ns >= NAPPING_NS
			  : lasted_ns >= ALONE_NS && p->waits > WAITS_ALONE;
}

/* The new one counts for 1/@n. */
static int64_t average(int64_t old, int64_t each_ns, int n)
{
	return old ? old + (each_ns - old) / n : each_ns;
}

static bool is_faster(int64_t napping_ns, int64_t alone_ns)
{
	return napping_ns <= alone_ns - alone_ns / 16;
}

/* A single gap in the stream, or in the machine, is not the stream's speed. */
static int64_t capped(const struct pace *p, int64_t each_ns)
{
	return p->alone_ns && each_ns > 2 * p->alone_ns ? 2 * p->alone_ns : each_ns;
}

/* A window without naps is over, in which @n records came, one every @each_ns. */
static void judge_alone(struct pace *p, int64_t each_ns, uint64_t n)
{
	if (each_ns >= FAST_NS || n >= MANY * (uint64_t)p->waits)
		return forget(p);
	p->alone_ns = average(p->alone_ns, capped(p, each_ns), 2);
	p->windows = 1;
	if (!p->napping_ns) {
		p->trust = TRUST_MIN;
	} else if (!is_faster(p->napping_ns, p->alone_ns)) {
		leave_alone(p);
	} else if (is_faster(p->napping_ns, each_ns)) { /* by this window, too */
		p->pause_last = 0;
		p->trust = p->trust < TRUST_MAX ? 2 * p->trust : TRUST_MAX;
	}
}

/* One with naps. */
static void judge_napping(struct pace *p, int64_t each_ns)
{
	p->napping_ns = average(p->napping_ns, capped(p, each_ns), 4);
	/* One of the next may be slower by chance: the window without is to tell. */
	if (p->windows == 1 ? !is_faster(p->napping_ns, p->alone_ns) : p->napping_ns > p->alone_ns)
		return leave_alone(p);
	if (p->windows++ < p->trust)
		return;
	/* What has gathered is not to count for the window without. */
	p->windows = p->waits = 0;
	p->pause = PAUSE_EMPTY;
}

bool pace_wait(struct pace *p, int64_t now_ns, uint64_t records, uint64_t sent,
	       bool (*is_worth)(int fd), int fd)
{
	uint64_t n;
	int64_t each_ns;

	if (p->sent != sent) {
		p->sent = sent;
		/* Naps may have delayed this answer, which no window tells. */
		if (p->windows)
			leave_alone(p);
		else if (p->waits || p->trust)
			forget(p);
		return false;
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
		n = records - p->records;
		each_ns = (now_ns - p->since_ns) / (int64_t)(n ? n : 1);
		if (p->windows)
			judge_napping(p, each_ns);
		else
			judge_alone(p, each_ns, n);
		if (p->windows == 1 && !is_worth(fd))
			leave_alone(p);
		if (!p->pause)
			begin_window(p, now_ns, records);
	}
	return p->windows;
}

void pace_napped(struct pace *p, int64_t took_ns)
{
	p->long_naps = took_ns < LONG_NAP_NS ? 0 : p->long_naps + 1;
	if (p->long_naps < 2) /* one may be the machine's */
		return;
	p->long_naps = 0;
	if (p->pause_last < PAUSE_LONG_NAP / 2)
		p->pause_last = PAUSE_LONG_NAP / 2;
	leave_alone(p);
}
