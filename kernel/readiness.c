// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Readable means a whole record, the end, or an error. */
#include "kernel/room.h"

/*
 * Bytes have come. The socket is not locked by anybody then, or this is the
 * backlog of who holds it: the state does not change under us.
 */
void ktls_data_ready(struct sock *sk)
{
	struct ktls *k = ktls_of(sk);

	if (receive_settle(k) || sk->sk_shutdown & RCV_SHUTDOWN)
		k->rx.data_ready(sk);
	else if (queue_is_full(sk))
		schedule_delayed_work(&k->rx.work, 0);
}

void ktls_rx_work(struct work_struct *work)
{
	struct ktls *k = container_of(work, struct ktls, rx.work.work);
	struct sock *sk = k->sk;

	lock_sock(sk);
	if (!k->rx.ready && receive_end(k))
		k->rx.data_ready(sk);
	release_sock(sk);
}

bool ktls_is_readable(struct sock *sk)
{
	struct ktls *k = ktls_of(sk);

	return tls_rx_is_set(&k->rx.engine) && READ_ONCE(k->rx.ready);
}

__poll_t ktls_poll(struct file *file, struct socket *sock, struct poll_table_struct *wait)
{
	const __poll_t readable = EPOLLIN | EPOLLRDNORM;
	struct sock *sk = sock->sk;
	struct ktls *k = ktls_of(sk);
	__poll_t mask = k->ops->poll(file, sock, wait);

	if (!tls_rx_is_set(&k->rx.engine) || mask & EPOLLHUP ||
	    READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN)
		return mask;
	return READ_ONCE(k->rx.ready) ? mask | readable : mask & ~readable;
}
