// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The receive calls: waiting, results. */
#include "kernel/room.h"

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
	receive_drain(k);
	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	receive_settle(k);
	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	err = sk_wait_event(sk, timeo, woken(k, seen), &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	return err < 0 ? err : 0;
}

static int recv_locked(struct ktls *k, struct msghdr *msg, size_t len, int flags)
{
	struct rx_request rq = {
		.msg = msg,
		.call.has_control = msg->msg_control && msg->msg_controllen >= CMSG_LEN(1),
	};
	size_t target = sock_rcvlowat(k->sk, flags & MSG_WAITALL, len);
	long timeo = sock_rcvtimeo(k->sk, flags & MSG_DONTWAIT);
	int err;

	for (;;) {
		err = flags & MSG_PEEK ? receive_peek(k, &rq) : receive(k, &rq);
		if (err != -EAGAIN || rq.done >= target)
			break;
		err = rq.done && stream_end(k->sk) ? 1 : recv_wait(k, &timeo);
		if (err)
			break;
		if (flags & MSG_PEEK) {
			/* Peeks from the front again. */
			iov_iter_revert(&msg->msg_iter, rq.done);
			rq.done = 0;
		}
	}
	receive_settle(k);
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
