// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/readiness.h"

#include "user/conn.h"
#include "user/receive.h"

#include <errno.h>
#include <string.h>

/* Threads of this process that sleep on a descriptor, or on the epoll set that it is. */
static uint16_t sleepers[FDTAB_SIZE];
static int sleepers_end; /* one more than the largest number that ever had any */

void readiness_sleeps(int fd, int one)
{
	int end = __atomic_load_n(&sleepers_end, __ATOMIC_RELAXED);

	if ((unsigned int)fd >= FDTAB_SIZE)
		return;
	while (fd >= end && !__atomic_compare_exchange_n(&sleepers_end, &end, fd + 1, true,
							 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_add_fetch(&sleepers[fd], one, __ATOMIC_SEQ_CST);
}

void readiness_no_sleepers(void)
{
	memset(sleepers, 0, sleepers_end * sizeof(sleepers[0]));
}

bool readiness_has_sleepers(int fd)
{
	return __atomic_load_n(&sleepers[fd], __ATOMIC_SEQ_CST) != 0;
}

bool readiness_is_watched(int fd)
{
	return readiness_has_sleepers(fd) || readiness_epoll_is_watched(fd);
}

bool readiness_is_true(int fd)
{
	struct conn *c = conn_pin(fd);
	struct conn_guard g;
	bool ready = true;

	if (!c)
		return true;
	if (tls_rx_is_set(&conn_session(c)->rx.engine) && !conn_enter_rx(c, fd, &g)) {
		ready = receive_is_ready(c, fd);
		conn_leave_rx(c, &g);
	}
	conn_unpin(c);
	return ready;
}

bool readiness_is_hidden(int fd)
{
	struct conn *c = conn_pin(fd);
	struct conn_guard g;
	bool hidden = false;
	int err;

	if (!c)
		return false;
	/* Most connections never have anything hidden: they are spared the lock. */
	if (__atomic_load_n(&conn_session(c)->rx.hidden_seq, __ATOMIC_SEQ_CST)) {
		err = conn_enter_rx(c, fd, &g);
		hidden = err == -EBADMSG || (!err && receive_is_hidden(&c->session->rx));
		if (!err)
			conn_leave_rx(c, &g);
	}
	conn_unpin(c);
	return hidden;
}
