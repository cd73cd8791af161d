// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* poll and select: the kernel's answer, less what is not true. */
#include "user/clock.h"
#include "user/conn.h"
#include "user/fault.h"
#include "user/readiness.h"
#include "user/real.h"
#include "user/tube.h"

#include <errno.h>

#define READ_EVENTS (POLLIN | POLLRDNORM)
#define END_EVENTS (POLLERR | POLLHUP | POLLNVAL)

/*
 * A pipe that is asked about is no tube. Before there was a TLS socket the program's memory is not
 * looked at, as it may be bad: then any pipe may be the one.
 */
static bool has_tubes(void)
{
	if (__builtin_expect(!tube_any(), 1))
		return false;
	if (fault_is_ready())
		return true;
	tube_leave_all();
	return false;
}

static bool wants_read(const struct pollfd *p)
{
	return (p->events & READ_EVENTS) && fdtab_get(p->fd);
}

static bool scan(const struct pollfd *fds, nfds_t n)
{
	bool ours = false;

	for (nfds_t i = 0; i < n; i++) {
		tube_leave(fds[i].fd);
		ours |= wants_read(&fds[i]);
	}
	return ours;
}

/* Is any of them ours? Bad memory is the kernel's to find. */
static bool any_of_ours(const struct pollfd *fds, nfds_t n)
{
	bool tubes = has_tubes(), ours;
	sigjmp_buf jump;

	if ((!tubes && !conn_count()) || !fault_guarded(jump))
		return false;
	ours = scan(fds, n);
	fault_done();
	return ours;
}

static bool add_hidden(struct pollfd *fds, nfds_t n)
{
	bool any = false;

	for (nfds_t i = 0; i < n; i++)
		any |= wants_read(&fds[i]) && readiness_is_hidden(fds[i].fd);
	return any;
}

/* What other threads do with these descriptors is to be seen by the kernel from now on. */
static void sleeps(struct pollfd *fds, nfds_t n, int one)
{
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].events & READ_EVENTS)
			readiness_sleeps(fds[i].fd, one);
}

/*
 * Take back what is not true. Returns descriptors still reported; *@taken tells
 * whether any lost its last event.
 */
static int filter(struct pollfd *fds, nfds_t n, bool *taken)
{
	int count = 0;

	*taken = false;
	for (nfds_t i = 0; i < n; i++) {
		struct pollfd *p = &fds[i];

		if (wants_read(p) && readiness_is_hidden(p->fd))
			p->revents |= p->events & READ_EVENTS;
		else if ((p->revents & READ_EVENTS) && !(p->revents & END_EVENTS) &&
			 wants_read(p) && !readiness_is_true(p->fd)) {
			p->revents &= ~READ_EVENTS;
			*taken |= !p->revents;
		}
		count += p->revents != 0;
	}
	return count;
}

/*
 * Once the low-water mark is set the kernel waits for the whole record itself;
 * a socket that is reported again all the same is one whose wait it cannot
 * express, and gets a rest.
 */
static int poll_ours(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		     const sigset_t *mask)
{
	struct clock clock = clock_start(timeout);
	struct timespec left, none = { 0, 0 }, rest = { 0, READINESS_BLIND_MS * 1000000l };
	bool taken;

	for (int round = 0;; round++) {
		const struct timespec *t;
		int got;

		sleeps(fds, n, 1);
		t = add_hidden(fds, n) ? &none : clock_left(&clock, -1, &left);
		got = real.ppoll(fds, n, t, mask);
		sleeps(fds, n, -1);
		if (got < 0)
			return got;
		got = filter(fds, n, &taken);
		if (got || !taken || clock_is_over(&clock))
			return got;
		if (round && nanosleep(clock_left(&clock, READINESS_BLIND_MS, &rest), NULL))
			return -1; /* EINTR */
	}
}

int readiness_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		    const sigset_t *mask)
{
	if (!any_of_ours(fds, n))
		return real.ppoll(fds, n, timeout, mask);
	return poll_ours(fds, n, timeout, mask);
}

int readiness_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct timespec t = { timeout_ms / 1000, timeout_ms % 1000 * 1000000l };

	if (!any_of_ours(fds, n))
		return real.poll(fds, n, timeout_ms);
	return poll_ours(fds, n, timeout_ms < 0 ? NULL : &t, NULL);
}

/* ---- select ---- */

/* It may be larger than libc's type for it. */
static bool scan_set(int n, const unsigned long *words)
{
	int bits = 8 * sizeof(*words);
	bool ours = false;

	for (int fd = 0; fd < n; fd++) {
		if (!(words[fd / bits] & 1ul << fd % bits))
			continue;
		tube_leave(fd);
		ours |= fdtab_get(fd) != NULL;
	}
	return ours;
}

static bool set_has_ours(int n, const void *set)
{
	sigjmp_buf jump;
	bool ours;

	if (!set || !fault_guarded(jump))
		return false;
	ours = scan_set(n, set);
	fault_done();
	return ours;
}

static bool select_has_ours(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
	bool tubes = has_tubes();

	if (!tubes && !conn_count())
		return false;
	if (tubes) {
		set_has_ours(n, w);
		set_has_ours(n, e);
	}
	return set_has_ours(n, r) && n <= FD_SETSIZE;
}

/* Descriptors that the program asks about become one poll; the answers go back into the sets. */
static int select_ours(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		       const sigset_t *mask)
{
	struct pollfd fds[FD_SETSIZE];
	nfds_t count = 0;
	int got, bits = 0;

	for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++) {
		short events = (r && FD_ISSET(fd, r) ? POLLIN | POLLRDNORM | POLLRDBAND : 0) |
			       (w && FD_ISSET(fd, w) ? POLLOUT | POLLWRNORM | POLLWRBAND : 0) |
			       (e && FD_ISSET(fd, e) ? POLLPRI : 0);

		if (events)
			fds[count++] = (struct pollfd){ fd, events, 0 };
	}
	got = poll_ours(fds, count, timeout, mask);
	if (got < 0)
		return got;
	for (nfds_t i = 0; i < count; i++) {
		if (fds[i].revents & POLLNVAL) {
			errno = EBADF;
			return -1;
		}
	}
	for (nfds_t i = 0; i < count; i++) {
		short ev = fds[i].events, re = fds[i].revents;
		int fd = fds[i].fd;
		bool in = (ev & POLLIN) &&
			  (re & (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR));
		bool out = (ev & POLLOUT) && (re & (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR));
		bool pri = (ev & POLLPRI) && (re & POLLPRI);

		if (r && !in)
			FD_CLR(fd, r);
		if (w && !out)
			FD_CLR(fd, w);
		if (e && !pri)
			FD_CLR(fd, e);
		bits += in + out + pri;
	}
	return bits;
}

int readiness_pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		      const sigset_t *mask)
{
	if (!select_has_ours(n, r, w, e))
		return real.pselect(n, r, w, e, timeout, mask);
	return select_ours(n, r, w, e, timeout, mask);
}

int readiness_select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	struct timespec t, left;
	struct clock clock;
	int got;

	if (!select_has_ours(n, r, w, e))
		return real.select(n, r, w, e, timeout);
	if (timeout)
		t = (struct timespec){ timeout->tv_sec, timeout->tv_usec * 1000l };
	clock = clock_start(timeout ? &t : NULL);
	got = select_ours(n, r, w, e, timeout ? &t : NULL, NULL);
	if (timeout && clock_left(&clock, -1, &left))
		*timeout = (struct timeval){ left.tv_sec, left.tv_nsec / 1000 }; /* as Linux does */
	return got;
}
