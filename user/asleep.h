/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A call that sleeps, and what becomes of it. A number that is closed under it:
 * Linux holds on to the socket until the call returns, the peer sees no FIN before,
 * and what comes is received; here the connection gets another number for so long.
 * A call that never returns, because its thread is cancelled or a handler jumps
 * out of it, leaves nothing behind.
 */
#ifndef TLSULP_ASLEEP_H
#define TLSULP_ASLEEP_H

#include <pthread.h>

#include "user/conn.h"

/* One call on a pinned connection; all zero at first. */
struct asleep {
	struct conn *conn; /* NULL: it has not slept yet */
	bool waits; /* counted in rx.waiters */
	bool *busy; /* to be cleared at the end, or NULL */
	struct _pthread_cleanup_buffer cleanup;
};

/* Before it sleeps, under tx_lock or rx_lock; once is enough. */
void asleep_begin(struct asleep *s, struct conn *c);

/* It will sleep until bytes come: asleep_begin() under rx_lock. asleep_woke() after that. */
void asleep_begin_rx(struct asleep *s, struct conn *c);
void asleep_woke(struct asleep *s);

/* After a sleep: the number that the call goes on with; @fd unless it was closed. */
int asleep_number(struct conn *c, int fd);

/* At the end of the call; errno stays. */
void asleep_end(struct asleep *s);

/* In a fork's child, where nobody sleeps. */
void asleep_after_fork(struct conn *c);

#endif
