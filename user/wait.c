// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/wait.h"

#include "user/real.h"
#include "user/signals.h"

#include <errno.h>
#include <time.h>

#define SLICE_MS 500
#define EARLY_MS 10
#define FUTILE_MS 10
#define NAP_NS 150000 /* and the slack of the thread's timers, mostly 50 us */
#define NS_PER_MS 1000000

int64_t wait_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int64_t now_ms(void)
{
	return wait_now_ns() / NS_PER_MS;
}

void wait_begin(struct deadline *d, int64_t now_ns)
{
	d->start_ms = now_ns / NS_PER_MS;
}

/*
 * The call has just begun: no timeout can be over, and most waits end before it need be known. (For
 * poll() a short slice instead would do, but its timer costs more than the look: it is the next of
 * an idle processor, which sets the clock device for it.)
 */
static bool is_early(struct deadline *d)
{
	if (d->known)
		return false;
	if (!d->start_ms)
		wait_begin(d, wait_now_ns());
	return now_ms() - d->start_ms < EARLY_MS;
}

/* Milliseconds left for poll(); -1: for ever. */
static int time_left(int fd, int option, struct deadline *d)
{
	int64_t left;

	if (!d->known) {
		struct timeval tv = { 0 };
		socklen_t len = sizeof(tv);
		int64_t ms = 0;

		if (!real.getsockopt(fd, SOL_SOCKET, option, &tv, &len))
			ms = tv.tv_sec * 1000ll + (tv.tv_usec + 999) / 1000;
		if (!d->start_ms)
			wait_begin(d, wait_now_ns());
		d->at_ms = ms ? d->start_ms + ms : -1;
		d->known = true;
	}
	if (d->at_ms < 0)
		return -1;
	left = d->at_ms - now_ms();
	return left < 0 ? 0 : left > 1 << 30 ? 1 << 30 : left;
}

bool wait_is_endless(int fd, int option, struct deadline *d)
{
	return time_left(fd, option, d) < 0;
}

/* Which handler ran is not known: if all of this process restart, that one did. */
static bool all_restart(void)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction act;

		if (!real.sigaction(sig, NULL, &act) && act.sa_handler != SIG_DFL &&
		    act.sa_handler != SIG_IGN && !(act.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

bool wait_restarts(int fd, int option, struct deadline *d, uint32_t before)
{
	bool known, interrupted = signals_interrupted(before, &known);

	return time_left(fd, option, d) < 0 && (known ? !interrupted : all_restart());
}

bool wait_is_nonblocking(int fd, int flags)
{
	return (flags & MSG_DONTWAIT) || (real.fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/*
 * poll() says nothing of use: messages in the socket's error queue, which are the program's to read
 * (SO_TIMESTAMPING), are POLLERR; and where RLIMIT_NOFILE is 0, as in a sandbox, it is EINVAL.
 */
static bool is_futile(int n, const struct pollfd *p)
{
	return n < 0 ? errno == EINVAL : n > 0 && !(p->revents & ~POLLERR);
}

/*
 * poll() looks its number up again whenever something moves: one that was closed meanwhile, while
 * the socket has another, may by then be something that never gets ready. So it is never trusted
 * for long.
 */
static int wait_for(int fd, short events, int option, bool moved, struct deadline *d)
{
	struct pollfd p = { fd, events, 0 };
	int left = time_left(fd, option, d);
	int slice = left < 0 || left > SLICE_MS ? SLICE_MS : left;
	uint32_t before = signals_interrupts();
	int n = real.poll(&p, 1, slice);

	if (is_futile(n, &p)) {
		slice = slice < FUTILE_MS ? slice : FUTILE_MS;
		n = real.poll(NULL, 0, slice);
	}
	if (n > 0)
		return 0;
	if (!n)
		return slice == left ? -EAGAIN : 0;
	if (errno != EINTR)
		return -errno;
	return !moved && wait_restarts(fd, option, d, before) ? 0 : -EINTR;
}

int wait_writable(int fd, bool moved, struct deadline *d)
{
	return wait_for(fd, POLLOUT, SO_SNDTIMEO, moved, d);
}

int wait_hangup(int fd, struct deadline *d)
{
	return wait_for(fd, POLLRDHUP, SO_RCVTIMEO, false, d);
}

/* The wait was cut short with bytes there: by what? 0: go and look at them. */
static int cut_short(int fd, struct deadline *d, uint32_t before)
{
	struct pollfd p = { fd, POLLRDHUP | POLLPRI, 0 };

	if (real.poll(&p, 1, 0) > 0)
		return 0; /* the end, an error, or urgent data in the way */
	if (time_left(fd, SO_RCVTIMEO, d) == 0)
		return -EAGAIN;
	return wait_restarts(fd, SO_RCVTIMEO, d, before) ? 0 : -EINTR;
}

int wait_more(int fd, struct deadline *d)
{
	return wait_for(fd, POLLIN | POLLRDHUP, SO_RCVTIMEO, true, d);
}

int wait_readable(int fd, size_t want, struct deadline *d)
{
	/* MSG_WAITALL alone ignores the low-water mark: only for more than there is already. */
	int all = want > 1 ? MSG_WAITALL : 0;
	uint32_t before = signals_interrupts();
	char byte; /* MSG_TRUNC leaves it alone */
	ssize_t n;

	if (!is_early(d) && time_left(fd, SO_RCVTIMEO, d) == 0)
		return -EAGAIN;
	n = real.recv(fd, all ? NULL : &byte, want, MSG_PEEK | MSG_TRUNC | all);
	if (n < 0)
		return -errno;
	return !n || (size_t)n >= want ? 0 : cut_short(fd, d, before);
}

bool wait_nap(int fd)
{
	struct timespec nap = { 0, NAP_NS };
	struct pollfd p = { fd, POLLRDHUP, 0 };

	return real.ppoll(&p, 1, &nap, NULL) < 0 && errno == EINTR;
}
