/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The receive calls on a connection whose TLS_RX is set. Return bytes, or -1 and errno. */
#ifndef TLSULP_RECV_H
#define TLSULP_RECV_H

#include "user/receive.h"

static inline bool recv_is_ours(const struct conn *c)
{
	return tls_rx_is_set(&conn_session(c)->rx.engine);
}

ssize_t recv_msg(struct conn *c, int fd, struct msghdr *msg, int flags);
ssize_t recv_iov(struct conn *c, int fd, const struct iovec *iov, size_t count, int flags,
		 int too_many);

/*
 * One receiving call, waiting as @flags and the socket say, for one who tells with @rq what to do
 * with the bytes: rq->done, and 0, RX_STOP, RX_EOF or negative errno.
 */
int recv_request(struct conn *c, int fd, struct rx_request *rq, int flags);

#endif
