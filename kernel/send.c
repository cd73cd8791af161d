// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The send calls: flags, control messages, waiting, SIGPIPE. */
#include "kernel/room.h"

/* 0, or why not all of @from was sent. */
static int send_waiting(struct ktls *k, struct iov_iter *from, int type, int flags, long *timeo)
{
	size_t size = iov_iter_count(from);
	int err;

	for (;;) {
		err = transmit(k, from, type, flags & (MSG_MORE | MSG_SENDPAGE_NOTLAST),
			       flags & MSG_SPLICE_PAGES);
		if (err != -EAGAIN || (size && !iov_iter_count(from)))
			return err;
		err = sk_stream_wait_memory(k->sk, timeo);
		if (err)
			return err;
	}
}

/* Sent bytes, or a negative errno. */
static int send_source(struct ktls *k, struct iov_iter *from, int type, int flags)
{
	struct sock *sk = k->sk;
	size_t size = iov_iter_count(from), done;
	long timeo = sock_sndtimeo(sk, flags & MSG_DONTWAIT);
	bool waits = timeo;
	int err = turn_take(&k->tx.turn, sk, &timeo);

	if (!err) {
		err = send_waiting(k, from, type, flags, &timeo);
		turn_give(&k->tx.turn, waits);
	}
	done = size - iov_iter_count(from);
	if (done || !err)
		return done;
	return sk_stream_error(sk, flags, err);
}

/* The record type that the control messages ask for, TRANSMIT_JOIN, or negative errno. */
static int control_type(struct msghdr *msg, unsigned int flags)
{
	int type = TRANSMIT_JOIN;
	struct cmsghdr *m;
	size_t len;

	for_each_cmsghdr (m, msg) {
		if (!CMSG_OK(msg, m))
			return -EINVAL;
		if (m->cmsg_level != SOL_TLS)
			continue;
		len = m->cmsg_len - CMSG_LEN(0);
		type = tls_tx_cmsg(m->cmsg_type, len, len ? *(u8 *)CMSG_DATA(m) : 0, flags);
		if (type < 0)
			return type;
	}
	return type;
}

static int send_locked(struct ktls *k, struct msghdr *msg)
{
	unsigned int flags = msg->msg_flags & ~COMPAT_SENDMSG_FLAGS;
	int type = TRANSMIT_JOIN, err = tls_tx_begin(&k->tx.engine, flags);

	if (!err && msg->msg_controllen) {
		type = control_type(msg, flags);
		err = type < 0 && type != TRANSMIT_JOIN ? type : 0;
	}
	return err ? err : send_source(k, &msg->msg_iter, type, msg->msg_flags);
}

int ktls_sendmsg_locked(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct ktls *k = ktls_of(sk);

	if (!tls_tx_is_set(&k->tx.engine))
		return k->ops->sendmsg_locked(sk, msg, size);
	return send_locked(k, msg);
}

int ktls_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct ktls *k = ktls_of(sk);
	int ret;

	if (!tls_tx_is_set(&k->tx.engine))
		return k->proto->sendmsg(sk, msg, size);
	lock_sock(sk);
	ret = send_locked(k, msg);
	release_sock(sk);
	return ret;
}

#ifdef COMPAT_HAS_SENDPAGE
/* As sendmsg() with MSG_SPLICE_PAGES, without a message to fill for each page. */
static int send_page(struct ktls *k, struct page *page, int offset, size_t size, int flags)
{
	struct bio_vec v = { page, size, offset };
	struct iov_iter from;
	int err = tls_tx_begin(&k->tx.engine, flags & ~COMPAT_SENDPAGE_FLAGS);

	if (err)
		return err;
	iov_iter_bvec(&from, ITER_SOURCE, &v, 1, size);
	return send_source(k, &from, TRANSMIT_JOIN, flags | MSG_SPLICE_PAGES);
}

int ktls_sendpage_locked(struct sock *sk, struct page *page, int offset, size_t size, int flags)
{
	struct ktls *k = ktls_of(sk);

	if (!tls_tx_is_set(&k->tx.engine))
		return k->ops->sendpage_locked(sk, page, offset, size, flags);
	return send_page(k, page, offset, size, flags);
}

int ktls_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags)
{
	struct ktls *k = ktls_of(sk);
	int ret;

	if (!tls_tx_is_set(&k->tx.engine))
		return k->proto->sendpage(sk, page, offset, size, flags);
	lock_sock(sk);
	ret = send_page(k, page, offset, size, flags);
	release_sock(sk);
	return ret;
}
#endif

/* The file ended where more was promised: so does the record. */
void ktls_splice_eof(struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct ktls *k = ktls_of(sk);

	if (!tls_tx_is_set(&k->tx.engine)) {
		if (k->proto->splice_eof)
			k->proto->splice_eof(sock);
		return;
	}
	lock_sock(sk);
	transmit_open_soon(k);
	release_sock(sk);
}
