// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/splice.h"

#include "user/asleep.h"
#include "user/linger.h"
#include "user/real.h"
#include "user/recv.h"
#include "user/send.h"
#include "user/wait.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool is_pipe(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISFIFO(st.st_mode);
}

static ssize_t result(size_t done, int err)
{
	if (done || err >= 0)
		return done;
	errno = -err;
	return -1;
}

static int socket_flags(unsigned int flags)
{
	return flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0;
}

/* Wait for the pipe: 0, -EAGAIN (not to be waited for), or -EINTR. */
static int wait_pipe(int fd, short events, unsigned int flags)
{
	struct pollfd p = { fd, events, 0 };
	bool nonblock = (flags & SPLICE_F_NONBLOCK) || (real.fcntl(fd, F_GETFL) & O_NONBLOCK);
	int n = real.poll(&p, 1, nonblock ? 0 : -1);

	return n > 0 ? 0 : n ? -errno : -EAGAIN;
}

/* ---- pipe -> records ---- */

/*
 * Bytes taken from a pipe cannot be put back: they go into the open record,
 * which the session keeps, and from there out. Bytes read, 0 (the pipe is
 * empty), or negative errno.
 */
static ssize_t gather(struct conn *c, int in, size_t len)
{
	struct session_tx *tx = &c->session->tx;
	size_t room = tx->engine.max_payload - tx->engine.open_len;
	struct iovec iov;
	int queued = 0;
	ssize_t got;

	if (ioctl(in, FIONREAD, &queued))
		return -errno;
	len = len < room ? len : room;
	len = len < (size_t)queued ? len : (size_t)queued;
	if (!len)
		return 0;
	if (!tx->open_buffer && !arena_buffer_take(c->arena, &tx->open_buffer))
		return -ENOMEM;
	/* Not read(): another reader may have been faster, and that would wait. */
	iov.iov_base = arena_buffer(c->arena, tx->open_buffer) + tx->engine.open_len;
	iov.iov_len = len;
	got = sys_call(SYS_vmsplice, in, &iov, 1, SPLICE_F_NONBLOCK);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	tx->engine.open_len += got;
	return got;
}

/* As much as the pipe and the socket allow. *@done grows; why it ended, or 0. */
static int move(struct conn *c, int in, int fd, size_t len, bool more, size_t *done)
{
	struct session_tx *tx = &c->session->tx;
	int err = transmit_rest(c, fd);
	ssize_t got = 1;

	while (!err && got > 0 && *done < len) {
		if (tx->engine.open_len < tx->engine.max_payload) {
			got = gather(c, in, len - *done);
			if (got < 0)
				return got;
			*done += got;
		}
		if (tx->engine.open_len >= tx->engine.max_payload)
			err = transmit_open(c, fd, true);
	}
	if (!err && !more && *done)
		err = transmit_open(c, fd, true);
	return err;
}

/*
 * Like send_source(), but for the order of things: room in the socket first,
 * then bytes out of the pipe.
 */
ssize_t splice_to_tls(struct conn *c, int in, int fd, size_t len, unsigned int flags)
{
	int err = is_pipe(in) ? 0 : -EINVAL;
	struct deadline deadline = { 0 };
	struct asleep asleep = { 0 };
	bool rest = false;
	size_t done = 0;

	if (!err && len)
		err = wait_pipe(in, POLLIN, flags);
	while (!err && len) {
		struct conn_guard g;

		err = conn_enter_tx(c, fd, &g);
		if (err)
			break;
		err = tls_tx_begin(&c->session->tx.engine, 0);
		if (!err)
			err = move(c, in, fd, len, flags & SPLICE_F_MORE, &done);
		rest = c->session->tx.rest_len != 0;
		if (err == -EAGAIN)
			asleep_begin(&asleep, c);
		conn_leave_tx(c, &g);
		if (err != -EAGAIN || wait_is_nonblocking(fd, socket_flags(flags)))
			break;
		err = wait_writable(fd, &deadline);
		fd = asleep_number(c, fd);
	}
	if (rest)
		linger_note(c, fd);
	asleep_end(&asleep);
	if (!done && err == -EPIPE)
		raise(SIGPIPE);
	return result(done, err);
}

/* ---- records -> pipe ---- */

/*
 * Into the pipe without waiting: fresh pages are given to it, so that neither
 * side shares memory with the other. Bytes, or negative errno.
 */
static ssize_t fill_pipe(int out, const uint8_t *p, size_t n)
{
	struct iovec iov;
	ssize_t put;
	void *pages = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return -ENOMEM;
	memcpy(pages, p, n);
	iov = (struct iovec){ pages, n };
	put = sys_call(SYS_vmsplice, out, &iov, 1, SPLICE_F_NONBLOCK);
	if (put < 0)
		put = -errno;
	munmap(pages, n);
	return put;
}

/* One go: bytes moved; 0 at EOF; -EAGAIN with *@pipe_full telling which side to wait for. */
static ssize_t move_out(struct conn *c, int fd, int out, size_t len, bool *pipe_full)
{
	struct session_rx *rx = &c->session->rx;
	ssize_t put;
	int err;

	*pipe_full = false;
	do {
		err = receive_hold(c, fd, false);
		if (err)
			return err == RX_EOF ? 0 : err;
		if (rx->held_type != TLSULP_DATA)
			return -EINVAL;
		if (!rx->held_len)
			receive_consume(c, fd, 0);
	} while (!rx->held);
	put = fill_pipe(out, arena_buffer(c->arena, rx->buffer) + rx->held_off,
			len < rx->held_len ? len : rx->held_len);
	if (put > 0)
		receive_consume(c, fd, put);
	*pipe_full = put == -EAGAIN;
	return put;
}

static ssize_t move_waiting(struct conn *c, int fd, int out, size_t len, unsigned int flags,
			    struct asleep *asleep)
{
	struct deadline deadline = { 0 };
	struct conn_guard g;
	bool pipe_full, wait;
	ssize_t n;

	for (;;) {
		n = conn_enter_rx(c, fd, &g);
		if (n)
			return n;
		n = move_out(c, fd, out, len, &pipe_full);
		receive_settle(c, fd, n == -EAGAIN);
		wait = n == -EAGAIN && !pipe_full && !wait_is_nonblocking(fd, socket_flags(flags));
		if (wait)
			asleep_begin_rx(asleep, c);
		else if (pipe_full)
			asleep_begin(asleep, c);
		conn_leave_rx(c, &g);
		if (n != -EAGAIN)
			return n;
		if (wait)
			n = recv_wait(c, fd, 1, &deadline, asleep);
		else if (pipe_full)
			n = wait_pipe(out, POLLOUT, flags);
		else
			return -EAGAIN;
		if (n)
			return n == RX_EOF ? 0 : n;
		fd = asleep_number(c, fd);
	}
}

ssize_t splice_from_tls(struct conn *c, int fd, int out, size_t len, unsigned int flags)
{
	struct asleep asleep = { 0 };
	ssize_t n;

	if (!is_pipe(out))
		return result(0, -EINVAL);
	if (!len)
		return 0;
	n = move_waiting(c, fd, out, len, flags, &asleep);
	asleep_end(&asleep);
	return result(n > 0 ? n : 0, n);
}
