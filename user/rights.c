// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/rights.h"

#include "user/conn.h"
#include "user/fault.h"
#include "user/say.h"

#include <errno.h>
#include <string.h>

static bool has_key(int fd)
{
	struct conn *c = conn_pin(fd);
	bool key;

	if (!c)
		return false;
	key = tls_tx_is_set(&c->session->tx.engine) || tls_rx_is_set(&c->session->rx.engine);
	conn_unpin(c);
	return key;
}

static bool passes_tls(struct cmsghdr *m)
{
	size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(m) + i * sizeof(fd), sizeof(fd));
		if (has_key(fd))
			return true;
	}
	return false;
}

/* The kernel gets the message after us and says what is wrong with it: here only valid ones count.
 */
static bool any_passes_tls(const struct msghdr *msg)
{
	struct msghdr copy = *msg;

	for (struct cmsghdr *m = CMSG_FIRSTHDR(&copy); m; m = CMSG_NXTHDR(&copy, m)) {
		size_t room = (char *)copy.msg_control + copy.msg_controllen - (char *)m;

		if (m->cmsg_len < sizeof(*m) || m->cmsg_len > room)
			return false;
		if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS && passes_tls(m))
			return true;
	}
	return false;
}

bool rights_allow(const struct msghdr *msg)
{
	static int told;
	sigjmp_buf jump;
	bool passes;

	if (!conn_count)
		return true;
	if (!fault_guarded(jump))
		return true; /* EFAULT: the kernel will say so */
	passes = msg->msg_control && msg->msg_controllen && any_passes_tls(msg);
	fault_done();
	if (!passes)
		return true;
	say_once(told, "a TLS socket cannot be passed to another process yet (SCM_RIGHTS); sendmsg "
		       "says EOPNOTSUPP. Pass it before the keys are set.");
	errno = EOPNOTSUPP;
	return false;
}
