/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The send calls on a connection whose TLS_TX is set. Return bytes, or -1 and errno. */
#ifndef TLSULP_SEND_H
#define TLSULP_SEND_H

#include <sys/socket.h>

#include "user/transmit.h"

static inline bool send_is_ours(const struct conn *c)
{
	return tls_tx_is_set(&conn_session(c)->tx.engine);
}

/* *@whole, unless NULL: nothing of the message is left to send. */
ssize_t send_msg(struct conn *c, int fd, const struct msghdr *msg, int flags, bool *whole);
ssize_t send_iov(struct conn *c, int fd, const struct iovec *iov, size_t count, int flags,
		 int too_many);

/*
 * The loop behind every sending call: from @s, waiting as the socket's mode and
 * timeouts say. Also what sendfile uses. @type as for transmit().
 */
ssize_t send_source(struct conn *c, int fd, struct source *s, int type, int flags);

#endif
