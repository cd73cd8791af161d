// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/recv.h"

#include "user/asleep.h"
#include "user/fault.h"
#include "user/real.h"
#include "user/scratch.h"
#include "user/wait.h"

#include <errno.h>

static ssize_t result(const struct rx_request *rq, int err)
{
	if (rq->done || err >= 0)
		return rq->done;
	errno = -err;
	return -1;
}

void recv_will_wait(struct conn *c)
{
	__atomic_add_fetch(&c->session->rx.waiters, 1, __ATOMIC_RELAXED);
}

/* The session may have moved under the wait, and its copy have been made before this one was
 * counted.
 */
static void has_waited(struct conn *c)
{
	uint32_t *waiters = &c->session->rx.waiters;
	uint32_t n = __atomic_load_n(waiters, __ATOMIC_RELAXED);

	while (conn_is_usable(c) && n &&
	       !__atomic_compare_exchange_n(waiters, &n, n - 1, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		continue;
}

int recv_wait(struct conn *c, int fd, size_t want, struct deadline *d)
{
	struct session_rx *rx = &c->session->rx;
	int err = rx->engine.stopped ? wait_hangup(fd, d) : wait_readable(fd, want, d);

	has_waited(c);
	return err;
}

/* How much this call waits for (SO_RCVLOWAT as the program set it, MSG_WAITALL). */
static size_t target_of(const struct session_rx *rx, size_t room, int flags)
{
	size_t lowat = rx->lowat_program ? rx->lowat_program : 1;

	return (flags & MSG_WAITALL) || room < lowat ? room : lowat;
}

/*
 * One go under the lock. -EAGAIN with *@want: recv_wait() for so many bytes in
 * the queue; with *@want 0: not to be waited for.
 */
static int recv_some(struct conn *c, int fd, struct rx_request *rq, int flags, size_t target,
		     size_t *want, bool *asleep)
{
	struct conn_guard g;
	size_t seen = 0;
	int err = conn_enter_rx(c, fd, &g);

	*want = 0;
	if (err)
		return err;
	if (flags & MSG_PEEK)
		err = receive_peek(c, fd, rq, &seen);
	else
		err = receive(c, fd, rq);
	if (err == -EAGAIN && rq->done < target && !wait_is_nonblocking(fd, flags))
		*want = seen + 1;
	receive_settle(c, fd, err == -EAGAIN);
	if (*want) {
		recv_will_wait(c);
		asleep_begin(c, asleep);
	}
	conn_leave_rx(c, &g);
	return err;
}

/*
 * A call that finds nothing begun looks at the queue as plain TCP's would, waiting
 * if it is to: one system call tells what is there. 0 or negative errno.
 */
static int look_at_front(struct conn *c, int fd, struct scratch *scratch, struct rx_request *rq,
			 int flags, bool *asleep)
{
	struct session_rx *rx;
	struct conn_guard g;
	ssize_t got;
	int err = conn_enter_rx(c, fd, &g);
	bool idle;

	if (err)
		return err;
	rx = &c->session->rx;
	idle = receive_is_idle(rx);
	if (idle) {
		rq->front.taken = rx->taken;
		receive_settle(c, fd, true);
		recv_will_wait(c);
		asleep_begin(c, asleep);
	}
	conn_leave_rx(c, &g);
	if (!idle)
		return 0;
	got = real.recv(fd, scratch->front, sizeof(scratch->front),
			MSG_PEEK | (flags & MSG_DONTWAIT));
	err = got < 0 ? -errno : 0;
	has_waited(c);
	rq->front.bytes = scratch->front;
	rq->front.len = got > 0 ? got : 0;
	return err;
}

static int recv_waiting(struct conn *c, int fd, struct rx_request *rq, int flags, bool *asleep)
{
	struct rx_request start = *rq;
	struct deadline deadline = { 0 };
	size_t target = target_of(&c->session->rx, rq->cursor.left, flags);
	size_t want;
	int err;

	fd = asleep_number(c, fd);
	for (;;) {
		err = recv_some(c, fd, rq, flags, target, &want, asleep);
		if (err == RX_EOF && !rq->done && conn_is_usable(c))
			err = session_take_error(c->session);
		if (err != -EAGAIN || !want)
			return err;
		err = recv_wait(c, fd, want, &deadline);
		if (err)
			return err;
		fd = asleep_number(c, fd);
		if (flags & MSG_PEEK)
			*rq = start; /* peeks from the front again */
	}
}

static int recv_request(struct conn *c, int fd, struct rx_request *rq, int flags)
{
	struct scratch *scratch = scratch_get();
	bool asleep = false, look = scratch && !scratch->front_busy && !(flags & MSG_PEEK) &&
				    receive_is_idle(&c->session->rx);
	int err = 0;

	if (!rq->cursor.left)
		return 0;
	if (look) {
		scratch->front_busy = true;
		err = look_at_front(c, fd, scratch, rq, flags, &asleep);
	}
	if (!err)
		err = recv_waiting(c, fd, rq, flags, &asleep);
	if (look)
		scratch->front_busy = false;
	asleep_end(c, asleep);
	return err;
}

ssize_t recv_iov(struct conn *c, int fd, const struct iovec *iov, size_t count, int flags,
		 int too_many)
{
	struct rx_request rq = { 0 };
	int err = iov_start(&rq.cursor, iov, count, too_many);

	if (!err && (flags & MSG_OOB))
		err = -EINVAL;
	if (!err)
		err = recv_request(c, fd, &rq, flags);
	return result(&rq, err);
}

ssize_t recv_msg(struct conn *c, int fd, struct msghdr *user, int flags)
{
	struct rx_request rq = { 0 };
	struct msghdr msg;
	int err;

	if (flags & MSG_ERRQUEUE)
		return real.recvmsg(fd, user, flags); /* no stream data is in there */
	err = fault_copy(&msg, user, sizeof(msg));
	if (!err)
		err = iov_start(&rq.cursor, msg.msg_iov, msg.msg_iovlen, -EMSGSIZE);
	if (!err && (flags & MSG_OOB))
		err = -EINVAL;
	if (err)
		return result(&rq, err);
	rq.call.has_control = msg.msg_control && msg.msg_controllen >= CMSG_LEN(1);
	rq.msg = &msg;
	err = recv_request(c, fd, &rq, flags);
	if (err < 0 && !rq.done)
		return result(&rq, err); /* recvmsg(2) writes to the struct only if it succeeds */
	user->msg_flags = rq.msg_flags;
	user->msg_controllen = rq.call.type && rq.call.has_control ? msg.msg_controllen : 0;
	user->msg_namelen = 0;
	return result(&rq, err);
}
