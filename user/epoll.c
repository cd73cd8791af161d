// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* epoll: who is registered as what, and the kernel's events, less what is not true. */
#include "user/clock.h"
#include "user/conn.h"
#include "user/process.h"
#include "user/readiness.h"
#include "user/real.h"
#include "user/receive.h"

#include <errno.h>

#define EPOLL_READ_EVENTS ((uint32_t)(EPOLLIN | EPOLLRDNORM))

/* What a descriptor is registered as; most are in one epoll set, the others are in `more`. */
struct reg {
	int epfd; /* + 1; 0: none */
	uint32_t events;
	uint64_t data;
	bool disarmed; /* EPOLLONESHOT: reported, and not asked for again */
	uint16_t use; /* of the set's number: another one, and the registration is gone */
	uint32_t hidden_seen; /* EPOLLET: which hidden record or error was reported */
	struct reg *more;
};

#define INDEX_SIZE 65536u
#define INDEX_PROBES 8
#define AMBIGUOUS (-1)

/* (epfd, data) -> descriptor, as far as it is certain. */
struct index_entry {
	int epfd; /* + 1 */
	int fd; /* or AMBIGUOUS: several descriptors have this data */
	uint64_t data;
};

static struct reg regs[FDTAB_SIZE];
static uint16_t uses[FDTAB_SIZE]; /* of each number by an epoll set, one after the other; 0: none */
static struct index_entry index_table[INDEX_SIZE];
static struct lock reg_lock;

static bool is_live(const struct reg *r)
{
	return r->epfd && r->use == __atomic_load_n(&uses[r->epfd - 1], __ATOMIC_RELAXED);
}

static struct reg *reg_find(int fd, int epfd)
{
	struct reg *r = (unsigned int)fd < FDTAB_SIZE ? &regs[fd] : NULL;

	while (r && (r->epfd != epfd + 1 || !is_live(r)))
		r = r->more;
	return r;
}

static struct reg *reg_make(int fd)
{
	struct reg *r;

	for (r = &regs[fd]; r; r = r->more)
		if (!is_live(r))
			return r;
	r = calloc(1, sizeof(*r));
	if (r) {
		r->more = regs[fd].more;
		regs[fd].more = r;
	}
	return r;
}

static uint32_t index_hash(int epfd, uint64_t data)
{
	return (data * 0x9e3779b97f4a7c15ull ^ (uint64_t)epfd * 0xff51afd7ed558ccdull) >> 40;
}

/* The entry of (epfd, data), or with @make a free one for it, or NULL. */
static struct index_entry *index_find(int epfd, uint64_t data, bool make)
{
	uint32_t h = index_hash(epfd, data);
	struct index_entry *spare = NULL;

	for (uint32_t i = 0; i < INDEX_PROBES; i++) {
		struct index_entry *e = &index_table[(h + i) % INDEX_SIZE];

		if (e->epfd == epfd + 1 && e->data == data)
			return e;
		if (!spare && (!e->epfd || (e->fd >= 0 && !reg_find(e->fd, e->epfd - 1))))
			spare = e;
	}
	return make ? spare : NULL;
}

static void index_add(int epfd, uint64_t data, int fd)
{
	struct index_entry *e = index_find(epfd, data, true);
	struct reg *r;

	if (!e)
		return; /* events of this one are always delivered */
	if (e->epfd == epfd + 1 && e->data == data && e->fd != fd && e->fd != AMBIGUOUS) {
		r = reg_find(e->fd, epfd);
		if (r && r->data == data)
			fd = AMBIGUOUS;
	} else if (e->epfd == epfd + 1 && e->fd == AMBIGUOUS && e->data == data) {
		fd = AMBIGUOUS;
	}
	*e = (struct index_entry){ epfd + 1, fd, data };
}

static void reg_set(int epfd, int fd, const struct epoll_event *event)
{
	struct reg *r = reg_find(fd, epfd);

	if (!uses[epfd])
		uses[epfd] = 1;
	if (!r)
		r = reg_make(fd);
	if (!r)
		return;
	r->epfd = epfd + 1;
	r->events = event->events;
	r->data = event->data.u64;
	r->disarmed = false;
	r->use = uses[epfd];
	r->hidden_seen = 0;
	index_add(epfd, r->data, fd);
}

static void reg_drop(int epfd, int fd)
{
	struct reg *r = reg_find(fd, epfd);

	if (r)
		r->epfd = r->events = 0;
}

int readiness_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int got = real.epoll_ctl(epfd, op, fd, event);
	struct lock_guard g;

	if (got || (unsigned int)fd >= FDTAB_SIZE || (unsigned int)epfd >= FDTAB_SIZE ||
	    process_is_vfork_child())
		return got;
	lock_enter(&reg_lock, &g);
	if (op == EPOLL_CTL_DEL)
		reg_drop(epfd, fd);
	else
		reg_set(epfd, fd, event);
	lock_leave(&reg_lock, &g);
	return got;
}

void readiness_new_number(int fd)
{
	if ((unsigned int)fd < FDTAB_SIZE && __atomic_load_n(&uses[fd], __ATOMIC_RELAXED) &&
	    !process_is_vfork_child())
		__atomic_add_fetch(&uses[fd], 1, __ATOMIC_RELAXED);
}

void readiness_before_fork(void)
{
	lock_take(&reg_lock);
}

void readiness_after_fork(bool child)
{
	if (!child) {
		lock_drop(&reg_lock);
		return;
	}
	reg_lock = (struct lock){ 0 };
	readiness_no_sleepers();
}

void readiness_forget(int fd)
{
	struct lock_guard g;

	if ((unsigned int)fd >= FDTAB_SIZE || __builtin_expect(!regs[fd].epfd && !regs[fd].more, 1))
		return;
	if (process_is_vfork_child())
		return;
	lock_enter(&reg_lock, &g);
	for (struct reg *r = &regs[fd]; r; r = r->more)
		r->epfd = 0;
	lock_leave(&reg_lock, &g);
}

bool readiness_epoll_is_watched(int fd)
{
	for (struct reg *r = &regs[fd]; r; r = r->more)
		if (r->epfd && readiness_has_sleepers(r->epfd - 1))
			return true;
	return false;
}

void readiness_remove(int fd)
{
	if ((unsigned int)fd >= FDTAB_SIZE)
		return;
	for (struct reg *r = &regs[fd]; r; r = r->more)
		if (r->epfd)
			real.epoll_ctl(r->epfd - 1, EPOLL_CTL_DEL, fd, NULL);
}

/*
 * Whose event is this? A descriptor of ours, or -1: not ours, or not certain. A
 * one-shot registration is used up by it.
 */
static int event_fd(int epfd, uint64_t data, uint32_t *asked)
{
	struct index_entry *e;
	struct lock_guard g;
	struct reg *r;
	int fd = -1;

	lock_enter(&reg_lock, &g);
	e = index_find(epfd, data, false);
	r = e && e->fd >= 0 && fdtab_get(e->fd) ? reg_find(e->fd, epfd) : NULL;
	if (r && r->data == data) {
		fd = e->fd;
		*asked = r->events;
		r->disarmed = r->events & EPOLLONESHOT;
	}
	lock_leave(&reg_lock, &g);
	return fd;
}

/* Take back what is not true of the events; how many are left. *@taken: any went whole. */
static int filter_events(int epfd, struct epoll_event *events, int n, bool *taken)
{
	int kept = 0;

	*taken = false;
	for (int i = 0; i < n; i++) {
		struct epoll_event ev = events[i];
		uint32_t asked = 0;
		int fd = -1;

		if ((ev.events & EPOLL_READ_EVENTS) && !(ev.events & (EPOLLERR | EPOLLHUP)))
			fd = event_fd(epfd, ev.data.u64, &asked);
		if (fd >= 0 && !readiness_is_true(fd)) {
			ev.events &= ~EPOLL_READ_EVENTS;
			if (!ev.events) {
				*taken = true;
				if (asked & EPOLLONESHOT) {
					struct epoll_event again = { asked, ev.data };

					readiness_epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &again);
				}
				continue;
			}
		}
		events[kept++] = ev;
	}
	return kept;
}

struct hidden_scan {
	int epfd;
	struct epoll_event *events;
	int n, max;
};

static __thread struct hidden_scan *scan;

/* As the kernel would: once for EPOLLONESHOT until it is asked for again, once an event for
 * EPOLLET. */
static bool is_due(struct reg *r, const struct session_rx *rx)
{
	uint32_t seq = __atomic_load_n(&rx->hidden_seq, __ATOMIC_SEQ_CST);

	if (!(r->events & EPOLL_READ_EVENTS) || r->disarmed ||
	    ((r->events & EPOLLET) && r->hidden_seen == seq))
		return false;
	r->hidden_seen = seq;
	r->disarmed = r->events & EPOLLONESHOT;
	return true;
}

static void scan_fd(int fd, struct conn *c)
{
	struct epoll_event none = { 0 };
	const struct session_rx *rx = &conn_session(c)->rx;
	struct lock_guard g;
	struct reg *r;
	bool due;

	if (scan->n >= scan->max || !readiness_is_hidden(fd))
		return;
	lock_enter(&reg_lock, &g);
	r = reg_find(fd, scan->epfd);
	due = r && is_due(r, rx);
	if (due) {
		scan->events[scan->n].events = r->events & EPOLL_READ_EVENTS;
		scan->events[scan->n++].data.u64 = r->data;
	}
	if (due && r->disarmed) {
		none.events = EPOLLONESHOT;
		none.data.u64 = r->data;
		real.epoll_ctl(scan->epfd, EPOLL_CTL_MOD, fd, &none);
	}
	lock_leave(&reg_lock, &g);
}

/* Events of records that the kernel does not know of. */
static int hidden_events(int epfd, struct epoll_event *events, int max)
{
	struct hidden_scan s = { epfd, events, 0, max };

	if (!__atomic_load_n(&receive_hidden_count, __ATOMIC_RELAXED))
		return 0;
	scan = &s;
	conn_each_fd(scan_fd);
	return s.n;
}

static int real_epoll_wait(int epfd, struct epoll_event *events, int max, const struct timespec *t,
			   const sigset_t *mask)
{
	int ms = t ? (t->tv_sec > 1000000 ? 1000000000
					  : t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000)
		   : -1;

	if (real.epoll_pwait2 && t && t->tv_nsec % 1000000) {
		int got = real.epoll_pwait2(epfd, events, max, t, mask);

		if (got >= 0 || errno != ENOSYS)
			return got;
	}
	return real.epoll_pwait(epfd, events, max, ms, mask);
}

int readiness_epoll_wait(int epfd, struct epoll_event *events, int max,
			 const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec left, none = { 0, 0 }, rest;
	struct clock clock;
	bool taken;

	if (!conn_count() || max <= 0)
		return real_epoll_wait(epfd, events, max, timeout, mask);
	clock = clock_start(timeout);
	for (int round = 0;; round++) {
		int hidden, got = 0;

		readiness_sleeps(epfd, 1);
		hidden = hidden_events(epfd, events, max);
		if (hidden < max)
			got = real_epoll_wait(epfd, events + hidden, max - hidden,
					      hidden ? &none : clock_left(&clock, -1, &left), mask);
		readiness_sleeps(epfd, -1);
		if (got < 0)
			return hidden ? hidden : got;
		got = filter_events(epfd, events + hidden, got, &taken) + hidden;
		if (got || !taken || clock_is_over(&clock))
			return got;
		if (round && nanosleep(clock_left(&clock, READINESS_BLIND_MS, &rest), NULL))
			return -1; /* EINTR */
	}
}
