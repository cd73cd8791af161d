// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/recv.h"

#include "user/asleep.h"
#include "user/fault.h"
#include "user/real.h"
#include "user/scratch.h"
#include "user/signals.h"
#include "user/wait.h"

#include <errno.h>

static ssize_t result(const struct rx_request *rq, int err)
{
	if (rq->done || err >= 0)
		return rq->done;
	errno = -err;
	return -1;
}

/* How much this call waits for (SO_RCVLOWAT as the program set it, MSG_WAITALL). */
static size_t target_of(const struct session_rx *rx, size_t room, int flags)
{
	size_t lowat = rx->lowat_program ? rx->lowat_program : 1;

	return (flags & MSG_WAITALL) || room < lowat ? room : lowat;
}

/* One receiving call on its way. */
struct recv_call {
	int flags;
	size_t target;
	struct scratch *scratch; /* NULL: it may not look at the queue first */
	size_t look; /* at so many bytes of it */
	uint32_t before; /* signals_interrupts() when it looked first */
	bool naps; /* if nothing is there then */
	bool rested; /* it has */
	int64_t nap_ns; /* it took so long, and */
	bool cut_short; /* a handler ended it */
	struct deadline deadline;
	size_t want; /* after -EAGAIN: wait for so many bytes in the queue; 0: do not wait */
	struct asleep asleep;
};

/* Has a handler that ends the call run in a nap, or beside it? */
static bool was_interrupted(int fd, struct recv_call *call)
{
	bool known, interrupted;

	if (!call->rested)
		return false;
	if (call->cut_short)
		return !wait_restarts(fd, SO_RCVTIMEO, &call->deadline, call->before);
	interrupted = signals_interrupted(call->before, &known);
	return known && interrupted;
}

/*
 * Wait until call->want bytes are in the queue, after a go that found no whole
 * record and took what there was of it: 0 to try again, RX_EOF, or negative
 * errno. asleep_begin_rx() is called under the lock, this without it.
 */
static int wait_for(struct conn *c, int fd, struct recv_call *call, bool moved)
{
	struct deadline *d = &call->deadline;
	int err;

	if (was_interrupted(fd, call))
		err = -EINTR;
	else if (conn_session(c)->rx.engine.stopped)
		err = wait_hangup(fd, d);
	else if (moved)
		err = wait_more(fd, d);
	else
		err = wait_readable(fd, call->want, d);
	asleep_woke(&call->asleep);
	return err;
}

#define RECV_LOOK 100 /* besides the results of receive(): look at the queue's front */

/*
 * How many bytes to look at: as many as a small record has. A large one is read to where it is
 * opened; then this is its header, and the wait, or the socket's word that it is not to be
 * waited for. 0: none.
 */
static size_t look_size(const struct session_rx *rx, const struct recv_call *call)
{
	if (!call->scratch || !receive_is_idle(rx))
		return 0;
	return rx->last_len <= SCRATCH_FRONT_SIZE ? SCRATCH_FRONT_SIZE : TLS_HEADER_LEN;
}

/*
 * A call that waits, where it is known which handlers end it, and bytes that come in on another
 * processor: it costs much to wake this one.
 */
static bool is_woken_from_afar(int fd)
{
	int cpu;
	socklen_t len = sizeof(cpu);

	return signals_are_seen() && !wait_is_nonblocking(fd, 0) &&
	       !real.getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &len) &&
	       cpu != sched_getcpu();
}

/* The call is going to look: how? */
static void prepare_look(struct conn *c, int fd, struct rx_request *rq, struct recv_call *call)
{
	const struct session *s = c->session;
	int64_t now;

	rq->front.taken = s->rx.taken;
	if (call->rested) {
		call->naps = false;
		pace_napped(&c->pace, call->nap_ns);
		return;
	}
	now = wait_now_ns();
	wait_begin(&call->deadline, now);
	call->naps = !(call->flags & MSG_DONTWAIT) &&
		     pace_wait(&c->pace, now, s->rx.engine.keys.seq, session_written(s),
			       is_woken_from_afar, fd);
}

/* One go under the lock. */
static int recv_some(struct conn *c, int fd, struct rx_request *rq, struct recv_call *call)
{
	struct conn_guard g;
	size_t seen = 0;
	int err = conn_enter_rx(c, fd, &g);

	call->want = 0;
	if (err)
		return err;
	/* Who has got something waits where any handler ends it. */
	call->look = rq->done ? 0 : look_size(&c->session->rx, call);
	if (call->look) {
		prepare_look(c, fd, rq, call);
		err = RECV_LOOK;
	} else if (call->flags & MSG_PEEK) {
		err = receive_peek(c, fd, rq, &seen);
	} else {
		err = rq->take ? rq->take(c, fd, rq) : receive(c, fd, rq);
	}
	if (err == -EAGAIN && rq->done < call->target && !wait_is_nonblocking(fd, call->flags))
		call->want = seen + 1;
	receive_settle(c, fd, err == -EAGAIN || err == RECV_LOOK);
	if (call->want || err == RECV_LOOK)
		asleep_begin_rx(&call->asleep, c);
	conn_leave_rx(c, &g);
	return err;
}

/* Nothing is there. Then it looks again, under whatever number the socket has by then. */
static void nap(int fd, struct recv_call *call)
{
	int64_t from = wait_now_ns();

	call->rested = true;
	if (wait_is_nonblocking(fd, call->flags))
		return; /* that look is to say so: the number may be another file's by now */
	call->cut_short = wait_nap(fd);
	call->nap_ns = wait_now_ns() - from;
}

/*
 * A call that finds nothing begun looks at the queue as plain TCP's would, waiting
 * if it is to: one system call tells what is there. 0 or negative errno.
 */
static int look_at_front(struct conn *c, int fd, struct rx_request *rq, struct recv_call *call)
{
	bool interrupted = was_interrupted(fd, call);
	int flags = call->naps || interrupted ? MSG_DONTWAIT : call->flags & MSG_DONTWAIT;
	ssize_t got;
	int err;

	if (call->naps)
		call->before = signals_interrupts();
	got = real.recv(fd, call->scratch->front, call->look, MSG_PEEK | flags);
	err = got < 0 ? -errno : 0;
	rq->front.bytes = call->scratch->front;
	rq->front.len = got > 0 ? got : 0;
	if (err == -EAGAIN && call->naps) {
		nap(fd, call);
		err = 0;
	} else if (err == -EAGAIN && interrupted) {
		err = -EINTR;
	}
	if (got >= 0 || err)
		call->scratch = NULL;
	asleep_woke(&call->asleep);
	return err;
}

/* Bytes were moved: what the wait for more met is for the next call. */
static void defer(struct conn *c, int fd, int err)
{
	struct conn_guard g;

	if (err >= 0 || err == -EINTR || err == -EAGAIN || conn_enter_rx(c, fd, &g))
		return;
	receive_defer(c, err);
	conn_leave_rx(c, &g);
}

static int recv_waiting(struct conn *c, int fd, struct rx_request *rq, struct recv_call *call)
{
	struct rx_request start = *rq;
	int err, number;

	for (;;) {
		err = recv_some(c, fd, rq, call);
		if (err == RX_EOF && !rq->done && conn_is_usable(c))
			err = session_take_error(conn_session(c));
		if (err == RECV_LOOK)
			err = look_at_front(c, fd, rq, call);
		else if (err != -EAGAIN || !call->want)
			return err;
		else
			err = wait_for(c, fd, call, rq->done && !(call->flags & MSG_PEEK));
		if (err) {
			if (rq->done)
				defer(c, fd, err);
			return err;
		}
		number = asleep_number(c, fd);
		if (number != fd)
			rq->front.len = 0; /* it may have been another connection's queue */
		fd = number;
		if (call->flags & MSG_PEEK)
			*rq = start; /* peeks from the front again */
	}
}

int recv_request(struct conn *c, int fd, struct rx_request *rq, int flags)
{
	struct scratch *scratch = flags & MSG_PEEK ? NULL : scratch_get();
	struct recv_call call = { .flags = flags };
	int err;

	if (!rq->cursor.left)
		return 0;
	call.target = target_of(&conn_session(c)->rx, rq->cursor.left, flags);
	/* A handler that interrupts this call finds it busy. */
	if (scratch && !scratch->front_busy) {
		call.scratch = scratch;
		call.asleep.busy = &scratch->front_busy;
		scratch->front_busy = true;
	}
	err = recv_waiting(c, fd, rq, &call);
	asleep_end(&call.asleep);
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

static int report(struct msghdr *user, const struct msghdr *msg)
{
	sigjmp_buf jump;

	if (!fault_guarded(jump))
		return -EFAULT;
	user->msg_flags = msg->msg_flags;
	user->msg_controllen = msg->msg_controllen;
	user->msg_namelen = 0;
	fault_done();
	return 0;
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
	msg.msg_flags = rq.msg_flags;
	msg.msg_controllen = rq.call.type && rq.call.has_control ? msg.msg_controllen : 0;
	if (!report(user, &msg))
		return result(&rq, err);
	errno = EFAULT; /* and the bytes are gone */
	return -1;
}
