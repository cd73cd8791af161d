// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/readiness.h"

#include "user/conn.h"
#include "user/receive.h"

bool readiness_is_true(int fd)
{
	struct conn *c = conn_pin(fd);
	struct conn_guard g;
	bool ready = true;

	if (!c)
		return true;
	if (tls_rx_is_set(&c->session->rx.engine) && !conn_enter_rx(c, fd, &g)) {
		ready = receive_is_ready(c, fd);
		conn_leave_rx(c, &g);
	}
	conn_unpin(c);
	return ready;
}

bool readiness_is_hidden(int fd)
{
	struct conn *c = conn_pin(fd);
	bool hidden;

	if (!c)
		return false;
	hidden = tls_rx_is_set(&c->session->rx.engine) && receive_is_hidden(&c->session->rx);
	conn_unpin(c);
	return hidden;
}
