// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/send.h"

#include "user/asleep.h"
#include "user/fault.h"
#include "user/linger.h"
#include "user/real.h"
#include "user/wait.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define CONTROL_MAX 1024

/* One go under the lock. *@rest: ciphertext is left that the socket did not take. */
static size_t send_some(struct conn *c, int fd, struct source *s, int type, int flags, int *err,
			bool *rest, struct asleep *asleep)
{
	struct conn_guard g;
	size_t n = 0;

	*rest = false;
	*err = conn_enter_tx(c, fd, &g);
	if (*err)
		return 0;
	*err = tls_tx_begin(&c->session->tx.engine, flags);
	if (!*err)
		n = transmit(c, fd, s, type, flags & MSG_MORE, err);
	*rest = c->session->tx.rest_len != 0;
	if (*err == -EAGAIN)
		asleep_begin(asleep, c);
	conn_leave_tx(c, &g);
	return n;
}

static ssize_t result(size_t done, int err, int flags)
{
	if (done || !err)
		return done;
	if (err == -EPIPE && !(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	errno = -err;
	return -1;
}

ssize_t send_source(struct conn *c, int fd, struct source *s, int type, int flags)
{
	struct deadline deadline = { 0 }, endless = WAIT_ENDLESS;
	struct asleep asleep = { 0 };
	bool rest, asked = false, known;
	size_t done = 0;
	int err;

	for (;;) {
		done += send_some(c, fd, s, type, flags, &err, &rest, &asleep);
		if (err != -EAGAIN || (flags & MSG_DONTWAIT))
			break;
		known = !asked && patience_is_known(c);
		asked = true;
		if (!known && !patience_ask(c, fd, &deadline))
			break;
		err = wait_writable(fd, done > 0, known ? &endless : &deadline);
		if (err)
			break;
		fd = asleep_number(c, fd);
	}
	if (rest)
		linger_note(c, fd);
	asleep_end(&asleep);
	return result(done, err, flags);
}

ssize_t send_iov(struct conn *c, int fd, const struct iovec *iov, size_t count, int flags,
		 int too_many)
{
	struct iov_cursor cursor;
	struct iov_source source;
	int err = iov_start(&cursor, iov, count, too_many);

	if (err)
		return result(0, err, flags);
	iov_source_init(&source, &cursor);
	return send_source(c, fd, &source.source, TRANSMIT_JOIN, flags);
}

/* The record type that the control messages ask for, TRANSMIT_JOIN, or negative errno. */
static int control_type(const struct msghdr *msg, int flags)
{
	union {
		char bytes[CONTROL_MAX];
		struct cmsghdr align;
	} control;
	struct msghdr copy = { .msg_control = &control, .msg_controllen = msg->msg_controllen };
	int type = TRANSMIT_JOIN;

	if (!msg->msg_control || !msg->msg_controllen)
		return type;
	if (msg->msg_controllen > CONTROL_MAX)
		return -ENOBUFS;
	if (fault_copy(&control, msg->msg_control, msg->msg_controllen))
		return -EFAULT;
	for (struct cmsghdr *m = CMSG_FIRSTHDR(&copy); m; m = CMSG_NXTHDR(&copy, m)) {
		size_t room = control.bytes + copy.msg_controllen - (char *)m;

		if (m->cmsg_len < sizeof(*m) || m->cmsg_len > room)
			return -EINVAL;
		if (m->cmsg_level != SOL_TLS)
			continue;
		type = tls_tx_cmsg(m->cmsg_type, m->cmsg_len - CMSG_LEN(0), *CMSG_DATA(m), flags);
		if (type < 0)
			return type;
	}
	return type;
}

ssize_t send_msg(struct conn *c, int fd, const struct msghdr *user, int flags, bool *whole)
{
	ssize_t done;
	struct iov_cursor cursor;
	struct iov_source source;
	struct msghdr msg;
	int type, err = fault_copy(&msg, user, sizeof(msg));

	if (!err)
		err = tls_tx_begin(&conn_session(c)->tx.engine, flags);
	if (!err)
		err = iov_start(&cursor, msg.msg_iov, msg.msg_iovlen, -EMSGSIZE);
	if (err)
		return result(0, err, flags);
	type = control_type(&msg, flags);
	if (type < 0)
		return result(0, type, flags);
	iov_source_init(&source, &cursor);
	done = send_source(c, fd, &source.source, type, flags);
	if (whole)
		*whole = !source.source.left;
	return done;
}
