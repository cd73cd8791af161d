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
 * Wait until @want bytes are in the queue, after a go that found no whole
 * record and took what there was of it: 0 to try again, RX_EOF, or negative
 * errno. asleep_begin_rx() is called under the lock, recv_wait() without it.
 */
struct asleep;
struct deadline;
int recv_wait(struct conn *c, int fd, size_t want, struct deadline *d, struct asleep *asleep);

#endif
