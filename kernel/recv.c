// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The receive calls: waiting, results. */
#include "kernel/room.h"

/* No more comes, or an error is to be reported: by the next call if this one has got something. */
static bool is_over(const struct sock *sk)
{
	return sk->sk_err || sk->sk_shutdown & RCV_SHUTDOWN || sock_flag(sk, SOCK_DONE) ||
	       sk->sk_state == TCP_CLOSE;
}

/* No whole record is there. Will there be one? 0: perhaps; 1: no, the end; negative errno. */
static int stream_end(struct sock *sk)
{
	if (sock_flag(sk, SOCK_DONE))
		return 1;
	if (sk->sk_err)
		return sock_error(sk);
	if (sk->sk_shutdown & RCV_SHUTDOWN)
		return 1;
	return sk->sk_state == TCP_CLOSE ? -ENOTCONN : 0;
}

static bool woken(const struct ktls *k, u32 seen)
{
	const struct sock *sk = k->sk;

	return (READ_ONCE(k->rx.ready) && READ_ONCE(tcp_sk(sk)->rcv_nxt) != seen) ||
	       READ_ONCE(sk->sk_err) || READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN ||
	       sk->sk_state == TCP_CLOSE;
}

int recv_wait(struct ktls *k, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	struct sock *sk = k->sk;
	u32 seen = tcp_sk(sk)->rcv_nxt;
	int err = stream_end(sk);

	if (err)
		return err;
	receive_end(k);
	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	err = sk_wait_event(sk, timeo, woken(k, seen), &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	return err < 0 ? err : 0;
}

/* 0 or more: what there is was received; negative errno. */
static int recv_waiting(struct ktls *k, struct rx_request *rq, size_t target, long *timeo)
{
	int err;

	for (;;) {
		err = receive(k, rq);
		if (err != -EAGAIN || rq->done >= target)
			return err;
		err = rq->done && is_over(k->sk) ? 1 : recv_wait(k, timeo);
		if (err)
			return err;
	}
}

/* The same. Another call may read while this one waits: each peek is from the front. */
static int peek_waiting(struct ktls *k, struct rx_request *rq, size_t target, long *timeo)
{
	const struct rx_request start = *rq;
	const struct msghdr msg = *rq->msg;
	int err;

	for (;;) {
		err = receive_peek(k, rq);
		if (err != -EAGAIN || rq->done >= target)
			return err;
		err = rq->done && is_over(k->sk) ? 1 : recv_wait(k, timeo);
		if (err)
			return err;
		*rq = start;
		*rq->msg = msg;
	}
}

/* Is there room for a control message with the record type? */
static bool has_control(const struct msghdr *msg)
{
	size_t least = CMSG_LEN(1);

#ifdef CONFIG_COMPAT
	if (msg->msg_flags & MSG_CMSG_COMPAT)
		least = sizeof(struct compat_cmsghdr) + 1;
#endif
	return msg->msg_control && msg->msg_controllen >= least;
}

static int recv_locked(struct ktls *k, struct msghdr *msg, size_t len, int flags)
{
	struct rx_request rq = {
		.msg = msg,
		.call.has_control = has_control(msg),
	};
	size_t target = flags & MSG_WAITALL ? len : min_t(size_t, len, receive_lowat(k));
	long timeo = sock_rcvtimeo(k->sk, flags & MSG_DONTWAIT);
	bool waits = timeo;
	int err;

	if (flags & MSG_PEEK) {
		err = peek_waiting(k, &rq, target, &timeo);
	} else {
		err = turn_take(&k->rx.turn, k->sk, &timeo);
		if (!err) {
			err = recv_waiting(k, &rq, target, &timeo);
			turn_give(&k->rx.turn, waits);
		}
	}
	receive_end(k);
	return rq.done || err > 0 ? rq.done : err;
}

int ktls_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags COMPAT_RECVMSG_ARGS)
{
	struct ktls *k = ktls_of(sk);
	int ret;

	if (!tls_rx_is_set(&k->rx.engine) || flags & MSG_ERRQUEUE)
		return k->proto->recvmsg(sk, msg, len, flags COMPAT_RECVMSG_PASS);
	if (flags & MSG_OOB)
		return -EINVAL;
	if (!len)
		return 0;
	lock_sock(sk);
	ret = recv_locked(k, msg, len, flags);
	release_sock(sk);
	return ret;
}

int ktls_set_rcvlowat(struct sock *sk, int lowat)
{
	return receive_set_lowat(ktls_of(sk), lowat);
}
