// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Each call: a TLS socket with that direction's key goes one way, all else to libc. */
#include "user/calls.h"

#include "user/conn.h"
#include "user/exec.h"
#include "user/fault.h"
#include "user/kind.h"
#include "user/linger.h"
#include "user/parcel.h"
#include "user/process.h"
#include "user/readiness.h"
#include "user/say.h"
#include "user/streams.h"
#include "user/real.h"
#include "user/recv.h"
#include "user/rights.h"
#include "user/send.h"
#include "user/signals.h"
#include "user/sendfile.h"
#include "user/sockopt.h"
#include "user/splice.h"
#include "user/stats.h"
#include "user/tube.h"
#include "user/uring.h"

#include <errno.h>
#include <string.h>
#include <linux/aio_abi.h>
#include <linux/close_range.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

const char *tlsulp_version(void)
{
	return TLSULP_VERSION;
}

int64_t tlsulp_stat(const char *name)
{
	for (unsigned int i = 0; i < TLS_STAT_COUNT; i++)
		if (!strcmp(name, tls_stat_name(i)))
			return stats_get(i);
	errno = EINVAL;
	return -1;
}

/* ---- copies ---- */

/*
 * A socket may have other numbers before it gets the ULP: made by dup, received,
 * or inherited as standard input, output and error. They must get it too.
 */
static uint64_t copies[FDTAB_SIZE / 64]; /* numbers that dup and its like had to do with */
static int copies_top;

static void copies_note(int fd)
{
	if ((unsigned int)fd >= FDTAB_SIZE)
		return;
	__atomic_or_fetch(&copies[fd / 64], 1ull << (fd % 64), __ATOMIC_RELAXED);
	if (fd >= __atomic_load_n(&copies_top, __ATOMIC_RELAXED))
		__atomic_store_n(&copies_top, fd + 1, __ATOMIC_RELAXED);
}

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return !real.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == IPPROTO_TCP;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return real.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}

static void add_copy(struct conn *c, int fd)
{
	if (!fdtab_get(fd) && cookie_of(fd) == conn_session(c)->cookie)
		conn_add_fd(c, fd);
	if (fdtab_get(fd) == c)
		streams_take(fd);
}

/* @fd has just become a TLS socket. */
static void add_copies(int fd)
{
	struct conn *c = conn_pin(fd);

	if (!c)
		return;
	add_copy(c, fd);
	for (int other = 0; other <= 2; other++)
		add_copy(c, other);
	for (int word = 0; word * 64 < copies_top; word++)
		for (uint64_t bits = copies[word]; bits; bits &= bits - 1)
			add_copy(c, word * 64 + __builtin_ctzll(bits));
	conn_unpin(c);
}

/* @newfd came from elsewhere: is it a socket that is here already? */
static __thread struct {
	int fd;
	uint64_t cookie;
} wanted;

static void match(int fd, struct conn *c)
{
	if (!fdtab_get(wanted.fd) && conn_session(c)->cookie == wanted.cookie)
		conn_add_fd(c, wanted.fd);
}

static void copies_find(int newfd, uint64_t cookie)
{
	wanted.fd = newfd;
	wanted.cookie = cookie;
	conn_each_fd(match);
}

/*
 * @c was found under @fd and seems to have no key that way. Is it so, and libc's
 * the call? Else the session ended meanwhile, which wiped its keys: then the
 * number may be another TLS socket's by now, and plain bytes must not get there.
 */
static bool is_plain(struct conn *c, int fd)
{
	if (!conn_is_usable(c))
		return false;
	/* Perhaps another process set a key in the kernel. */
	if (conn_is_kernels(c))
		conn_leave_to_kernel(c, fd);
	return true;
}

/* The connection of @fd, pinned, if records flow that way; else NULL. */
static struct conn *pin_if(int fd, bool (*is_ours)(const struct conn *c))
{
	struct conn *c;

	while ((c = conn_pin(fd)) && !is_ours(c)) {
		bool plain = is_plain(c, fd);

		if (!plain && conn_owns(c, fd))
			break; /* a child that was not counted in: the call says EBADF */
		conn_unpin(c);
		if (plain)
			return NULL;
	}
	return c;
}

static inline struct conn *pin_tx(int fd)
{
	return pin_if(fd, send_is_ours);
}

static inline struct conn *pin_rx(int fd)
{
	return pin_if(fd, recv_is_ours);
}

static ssize_t unpin(struct conn *c, ssize_t result)
{
	int saved = errno;

	conn_unpin(c);
	errno = saved;
	return result;
}

/* ---- send ---- */

ssize_t tlsulp_send(int fd, const void *buf, size_t n, int flags)
{
	struct iovec iov = { (void *)buf, n };
	struct conn *c = pin_tx(fd);

	if (!c)
		return real.send(fd, buf, n, flags);
	return unpin(c, send_iov(c, fd, &iov, 1, flags, -EMSGSIZE));
}

ssize_t tlsulp_write(int fd, const void *buf, size_t n)
{
	struct iovec iov = { (void *)buf, n };
	struct conn *c = pin_tx(fd);

	if (!c)
		return real.write(fd, buf, n);
	return unpin(c, send_iov(c, fd, &iov, 1, 0, -EINVAL));
}

ssize_t tlsulp_writev(int fd, const struct iovec *iov, int count)
{
	struct conn *c = pin_tx(fd);

	if (!c)
		return real.writev(fd, iov, count);
	return unpin(c, send_iov(c, fd, iov, count < 0 ? SIZE_MAX : count, 0, -EINVAL));
}

ssize_t call_pwritev2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
	struct conn *c = pin_tx(fd);

	if (!c || offset != -1)
		return c ? unpin(c, real.pwritev2(fd, iov, count, offset, flags))
			 : real.pwritev2(fd, iov, count, offset, flags);
	return unpin(c, send_iov(c, fd, iov, count < 0 ? SIZE_MAX : count,
				 flags & RWF_NOWAIT ? MSG_DONTWAIT : 0, -EINVAL));
}

/* A connected TCP socket takes no notice of an address. */
ssize_t tlsulp_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
		      socklen_t addr_len)
{
	struct iovec iov = { (void *)buf, n };
	struct conn *c = pin_tx(fd);

	if (!c)
		return real.sendto(fd, buf, n, flags, addr, addr_len);
	return unpin(c, send_iov(c, fd, &iov, 1, flags, -EMSGSIZE));
}

ssize_t tlsulp_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct conn *c = pin_tx(fd);

	if (c)
		return unpin(c, send_msg(c, fd, msg, flags, NULL));
	return rights_sendmsg(fd, msg, flags);
}

int tlsulp_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	struct conn *c = pin_tx(fd);
	unsigned int done = 0;
	bool whole = true;
	ssize_t got = 0;

	if (!c)
		return rights_sendmmsg(fd, msgs, n, flags);
	while (done < n && whole) { /* a message that went out in part is the last */
		got = send_msg(c, fd, &msgs[done].msg_hdr, flags, &whole);
		if (got < 0)
			break;
		msgs[done++].msg_len = got;
	}
	return unpin(c, done ? (ssize_t)done : got);
}

ssize_t tlsulp_sendfile(int fd, int in_fd, off64_t *offset, size_t count)
{
	struct conn *c = pin_tx(fd);

	if (!c)
		return real.sendfile64(fd, in_fd, offset, count);
	return unpin(c, sendfile_tls(c, fd, in_fd, offset, count));
}

/* ---- receive ---- */

ssize_t tlsulp_recv(int fd, void *buf, size_t n, int flags)
{
	struct iovec iov = { buf, n };
	struct conn *c = pin_rx(fd);

	if (!c)
		return real.recv(fd, buf, n, flags);
	return unpin(c, recv_iov(c, fd, &iov, 1, flags, -EMSGSIZE));
}

ssize_t tlsulp_read(int fd, void *buf, size_t n)
{
	struct iovec iov = { buf, n };
	struct conn *c = pin_rx(fd);

	if (!c)
		return real.read(fd, buf, n);
	return unpin(c, recv_iov(c, fd, &iov, 1, 0, -EINVAL));
}

ssize_t tlsulp_readv(int fd, const struct iovec *iov, int count)
{
	struct conn *c = pin_rx(fd);

	if (!c)
		return real.readv(fd, iov, count);
	return unpin(c, recv_iov(c, fd, iov, count < 0 ? SIZE_MAX : count, 0, -EINVAL));
}

ssize_t call_preadv2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
	struct conn *c = pin_rx(fd);

	if (!c || offset != -1)
		return c ? unpin(c, real.preadv2(fd, iov, count, offset, flags))
			 : real.preadv2(fd, iov, count, offset, flags);
	return unpin(c, recv_iov(c, fd, iov, count < 0 ? SIZE_MAX : count,
				 flags & RWF_NOWAIT ? MSG_DONTWAIT : 0, -EINVAL));
}

ssize_t tlsulp_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
			socklen_t *addr_len)
{
	struct iovec iov = { buf, n };
	struct conn *c = pin_rx(fd);
	socklen_t none = 0;
	ssize_t got;

	if (!c)
		return real.recvfrom(fd, buf, n, flags, addr, addr_len);
	got = recv_iov(c, fd, &iov, 1, flags, -EMSGSIZE);
	if (got >= 0 && addr && addr_len)
		fault_copy(addr_len, &none, sizeof(none));
	return unpin(c, got);
}

ssize_t tlsulp_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct conn *c = pin_rx(fd);

	if (!c)
		return call_plain_recvmsg(fd, msg, flags);
	return unpin(c, recv_msg(c, fd, msg, flags));
}

/* Descriptors that came along: new numbers, and perhaps copies of a socket that is here already. */
static void received_fd(int fd)
{
	call_new_fd(fd);
	copies_note(fd);
}

ssize_t call_plain_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return rights_recvmsg(fd, msg, flags, received_fd);
}

int call_plain_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			struct timespec *timeout)
{
	return rights_recvmmsg(fd, msgs, n, flags, timeout, received_fd);
}

static bool is_over(const struct timespec *start, const struct timespec *timeout)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start->tv_sec > timeout->tv_sec ||
	       (now.tv_sec - start->tv_sec == timeout->tv_sec &&
		now.tv_nsec - start->tv_nsec >= timeout->tv_nsec);
}

/* recvmmsg(2): the timeout is looked at after each message only. */
int tlsulp_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
		    struct timespec *timeout)
{
	struct conn *c = pin_rx(fd);
	struct timespec start;
	unsigned int done = 0;
	ssize_t got = 0;

	if (!c)
		return call_plain_recvmmsg(fd, msgs, n, flags, timeout);
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (done < n) {
		got = recv_msg(c, fd, &msgs[done].msg_hdr, flags & ~MSG_WAITFORONE);
		if (got < 0)
			break;
		msgs[done++].msg_len = got;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (!got || (timeout && is_over(&start, timeout)))
			break;
	}
	return unpin(c, done ? (ssize_t)done : got);
}

/* ---- both ---- */

#define SPLICE_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

static ssize_t plain_splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
			    unsigned int flags)
{
	ssize_t n = -EAGAIN;

	if (!out_off && !(flags & ~SPLICE_FLAGS))
		n = tube_from_file(in, in_off, out, len);
	return n >= 0 ? n : tube_splice(in, in_off, out, out_off, len, flags);
}

ssize_t tlsulp_splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
		      unsigned int flags)
{
	struct conn *to = tube_is(out) ? NULL : pin_tx(out);
	struct conn *from = to || tube_is(in) ? NULL : pin_rx(in);
	struct conn *c = to ? to : from;

	if (!c)
		return plain_splice(in, in_off, out, out_off, len, flags);
	if (in_off || out_off || (flags & ~SPLICE_FLAGS)) {
		errno = flags & ~SPLICE_FLAGS ? EINVAL : ESPIPE;
		return unpin(c, -1);
	}
	if (to)
		return unpin(c, splice_to_tls(to, in, out, len, flags));
	return unpin(c, splice_from_tls(from, in, out, len, flags));
}

int tlsulp_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int got = sockopt_set(fd, level, name, value, len);

	if (!got && level == IPPROTO_TCP && name == TCP_ULP)
		add_copies(fd);
	return got;
}

int tlsulp_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return sockopt_get(fd, level, name, value, len);
}

int tlsulp_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	sa_family_t family;

	/* Disconnecting would let keys outlive their connection. */
	if (fdtab_get(fd) && len >= sizeof(family) && !fault_copy(&family, addr, sizeof(family)) &&
	    family == AF_UNSPEC) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return real.connect(fd, addr, len);
}

int tlsulp_listen(int fd, int backlog)
{
	if (fdtab_get(fd)) {
		errno = EINVAL;
		return -1;
	}
	return real.listen(fd, backlog);
}

int tlsulp_shutdown(int fd, int how)
{
	struct conn *c = how == SHUT_RD ? NULL : pin_tx(fd);

	if (c && unpin(c, linger_before_shutdown(c, fd, how))) {
		if (how == SHUT_RDWR)
			real.shutdown(fd, SHUT_RD);
		return 0;
	}
	return real.shutdown(fd, how);
}

/* ---- descriptors ---- */

/* It is closed, or another file: what was known of it is no longer true. */
static void forget_number(int fd)
{
	readiness_forget(fd);
	kind_forget(fd);
}

/*
 * A vfork child has descriptors of its own and its parent's memory: there the
 * table stays as it is, and exec.c looks after the duplicates.
 */
static int duplicated(int fd, int newfd)
{
	struct conn *c;

	if (newfd < 0 || newfd == fd)
		return newfd;
	c = conn_pin(fd);
	if (c && process_is_vfork_child()) {
		exec_copied(c, newfd);
	} else {
		conn_forget(newfd);
		forget_number(newfd);
		if (c) {
			conn_add_fd(c, newfd);
			streams_take(newfd);
		} else if (is_tcp(newfd)) {
			copies_note(fd);
			copies_note(newfd);
		}
	}
	if (c)
		conn_unpin(c);
	return newfd;
}

static bool is_open(int fd)
{
	return real.fcntl(fd, F_GETFD) >= 0;
}

/* Where the kernel refused after we let go of what was there, nothing may be written to it. */
static void undo_replace(int newfd)
{
	int saved = errno;

	real.shutdown(newfd, SHUT_RDWR);
	errno = saved;
}

/* dup2 and dup3 onto a number: nobody uses it while it is two things. */
static int dup_onto(int fd, int newfd, int flags)
{
	struct lock_guard g;
	struct conn *c;
	int got;

	c = conn_pin(fd);
	conn_unsettle(newfd, &g);
	got = real.dup3(fd, newfd, flags);
	if (got < 0)
		undo_replace(newfd);
	forget_number(newfd);
	conn_settle(newfd, got < 0 ? NULL : c, &g);
	if (c && got >= 0)
		streams_take(newfd);
	else if (got >= 0 && is_tcp(newfd)) {
		copies_note(fd);
		copies_note(newfd);
	}
	if (c)
		unpin(c, 0);
	return got;
}

/* No TLS socket is moved, or libc will refuse anyway. */
static bool is_plain_dup(int fd, int newfd, int flags)
{
	return fd == newfd || (unsigned int)newfd >= FDTAB_SIZE || (flags & ~O_CLOEXEC) ||
	       (!fdtab_get(fd) && !fdtab_get(newfd)) || !is_open(fd) || process_is_vfork_child();
}

/* What this library keeps for itself gives way, and what it keeps of a pipe goes back. */
static void make_room(int fd, int newfd)
{
	tube_leave(fd);
	tube_leave(newfd);
	if (parcel_hides(newfd) && fd != newfd && is_open(fd) && !process_is_vfork_child())
		parcel_evade(newfd);
}

/* A new program either knows of a TLS socket's number or does not get it. */
static bool changes_begin(int fd)
{
	return fdtab_get(fd) && exec_begin();
}

int tlsulp_dup(int fd)
{
	bool begun = changes_begin(fd);
	int got = duplicated(fd, real.dup(fd));

	exec_end(begun);
	return got;
}

int tlsulp_dup2(int fd, int newfd)
{
	bool begun = changes_begin(fd);
	int got;

	make_room(fd, newfd);
	if (is_plain_dup(fd, newfd, 0))
		got = duplicated(fd, real.dup2(fd, newfd));
	else
		got = dup_onto(fd, newfd, 0);
	exec_end(begun);
	return got;
}

int tlsulp_dup3(int fd, int newfd, int flags)
{
	bool begun = changes_begin(fd);
	int got;

	make_room(fd, newfd);
	if (is_plain_dup(fd, newfd, flags))
		got = duplicated(fd, real.dup3(fd, newfd, flags));
	else
		got = dup_onto(fd, newfd, flags);
	exec_end(begun);
	return got;
}

static int fcntl_number(int fd, int cmd, void *arg)
{
	bool dup = cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC;
	bool begun = (dup || cmd == F_SETFD) && changes_begin(fd);
	int got = real.fcntl(fd, cmd, arg);

	if (dup)
		got = duplicated(fd, got);
	else if (cmd == F_SETFL && !got)
		patience_changed_at(fd);
	exec_end(begun);
	return got;
}

/* What tells of a pipe's numbers, but neither gives nor takes its bytes, nor waits for them. */
static bool leaves_bytes_alone(int cmd, void *arg)
{
	switch (cmd) {
	case F_GETFD:
	case F_SETFD:
	case F_GETFL:
	case F_GETPIPE_SZ:
	case F_SETPIPE_SZ:
		return true;
	case F_SETFL:
		return !((intptr_t)arg & (O_ASYNC | O_DIRECT));
	default:
		return false;
	}
}

int call_fcntl(int fd, int cmd, void *arg)
{
	if (tube_is(fd) && !leaves_bytes_alone(cmd, arg))
		tube_end(fd);
	if (cmd == F_SETPIPE_SZ)
		return tube_resize(fd, arg);
	return fcntl_number(fd, cmd, arg);
}

int call_ioctl(int fd, unsigned long request, void *arg)
{
	int got;

	tube_leave(fd);
	got = real.ioctl(fd, request, arg);
	if (request == FIONBIO && !got)
		patience_changed_at(fd);
	return got;
}

int tlsulp_close(int fd)
{
	struct lock_guard g;
	int got;

	if (parcel_hides(fd)) {
		errno = EBADF;
		return -1;
	}
	tube_leave(fd);
	if (!fdtab_get(fd) || process_is_vfork_child()) {
		forget_number(fd); /* before: another thread may get the number at once */
		got = real.close(fd);
		kind_forget(fd); /* after: another may have looked meanwhile */
		return got;
	}
	conn_unsettle(fd, &g);
	readiness_forget(fd);
	got = sys_call(SYS_close, fd);
	conn_settle(fd, NULL, &g);
	return got;
}

/* All TLS sockets among these numbers; the rest is libc's to close. */
static void close_ours(unsigned int first, unsigned int last)
{
	tube_leave_range(first, last);
	if (!conn_count() || process_is_vfork_child())
		return;
	for (unsigned int fd = first; fd <= last && fd < (unsigned int)conn_fd_end(); fd++)
		if (fdtab_get(fd))
			tlsulp_close(fd);
}

/*
 * A thread that gets a descriptor table of its own would share the one here
 * with threads whose numbers are others by now.
 */
static bool may_unshare(void)
{
	static int told;
	struct stat st;

	/* One link for each thread, and two as any directory. */
	if (!conn_count() || stat("/proc/self/task", &st) || st.st_nlink <= 3)
		return true;
	say_once(told, "a thread of a process with TLS sockets cannot have descriptors of its own; "
		       "unshare(CLONE_FILES) and CLOSE_RANGE_UNSHARE say EINVAL. Do it before the "
		       "first thread starts or the first TLS socket is made.");
	errno = EINVAL;
	return false;
}

int call_unshare(int flags)
{
	return !(flags & CLONE_FILES) || may_unshare() ? real.unshare(flags) : -1;
}

/* All but the parcels, which end with exec anyway. */
static int close_around_parcels(unsigned int first, unsigned int last, int flags)
{
	int got = 0, kept = -1;

	while (!got && first <= last) {
		kept = first < FDTAB_SIZE ? parcel_next(first) : -1;
		if (kept < 0 || (unsigned int)kept > last)
			break;
		if ((unsigned int)kept > first)
			got = real.close_range(first, kept - 1, flags);
		first = kept + 1;
	}
	/* Also where there is nothing to close: it says what is wrong with the arguments. */
	return got || (kept >= 0 && first > last) ? got : real.close_range(first, last, flags);
}

int call_close_range(unsigned int first, unsigned int last, int flags)
{
	int got;

	if ((flags & CLOSE_RANGE_UNSHARE) && !may_unshare())
		return -1;
	if (!(flags & CLOSE_RANGE_CLOEXEC) && first <= last)
		close_ours(first, last);
	got = close_around_parcels(first, last, flags);
	kind_forget_range(first, last);
	return got;
}

void call_closefrom(int first)
{
	close_ours(first < 0 ? 0 : first, FDTAB_SIZE - 1);
	if (parcel_next(0) < 0 || close_around_parcels(first < 0 ? 0 : first, ~0u, 0))
		real.closefrom(first);
	kind_forget_range(first < 0 ? 0 : first, FDTAB_SIZE - 1);
}

/* libc's daemon() puts /dev/null on 0 to 2 by itself. */
int call_daemon(int nochdir, int noclose)
{
	int got = real.daemon(nochdir, noclose);

	for (int fd = 0; !got && !noclose && fd <= 2; fd++) {
		conn_forget(fd);
		kind_forget(fd);
	}
	return got;
}

/* Numbers 0 to 2 are a terminal now. */
static void std_replaced(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		conn_forget(fd);
		forget_number(fd);
	}
}

int call_login_tty(int fd)
{
	int got = real.login_tty(fd);

	if (!got) {
		std_replaced();
		call_new_fd(fd); /* closed by now if it was above 2 */
	}
	return got;
}

pid_t call_forkpty(int *master, char *name, const struct termios *termios,
		   const struct winsize *size)
{
	pid_t pid = real.forkpty(master, name, termios, size);

	if (!pid)
		std_replaced();
	else if (pid > 0)
		call_new_fd(*master);
	return pid;
}

int call_pidfd_getfd(int pidfd, int fd, unsigned int flags)
{
	uint64_t cookie;
	int got;

	tube_leave_all(); /* it may be our own */
	got = call_new_fd(sys_call(SYS_pidfd_getfd, pidfd, fd, flags));
	cookie = got >= 0 ? cookie_of(got) : 0;

	if (!cookie)
		return got;
	copies_note(got);
	copies_find(got, cookie);
	return got;
}

int call_new_fd(int fd)
{
	if (fd >= 0) {
		conn_forget(fd);
		forget_number(fd);
		readiness_new_number(fd);
	}
	return fd;
}

int call_pipe2(int fds[2], int flags)
{
	int got = real.pipe2(fds, flags);

	if (!got) {
		call_new_fd(fds[0]);
		call_new_fd(fds[1]);
		tube_new(fds, flags);
	}
	return got;
}

/* ---- wait ---- */

int tlsulp_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return readiness_poll(fds, n, timeout_ms);
}

int tlsulp_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	return readiness_ppoll(fds, n, timeout, mask);
}

int tlsulp_select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	return readiness_select(n, r, w, e, timeout);
}

int tlsulp_pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		   const sigset_t *mask)
{
	return readiness_pselect(n, r, w, e, timeout, mask);
}

int tlsulp_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	tube_leave(fd);
	return readiness_epoll_ctl(epfd, op, fd, event);
}

int tlsulp_epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms,
		       const sigset_t *mask)
{
	struct timespec t = { timeout_ms / 1000, timeout_ms % 1000 * 1000000l };

	return readiness_epoll_wait(epfd, events, max, timeout_ms < 0 ? NULL : &t, mask);
}

int tlsulp_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	return tlsulp_epoll_pwait(epfd, events, max, timeout_ms, NULL);
}

int tlsulp_epoll_pwait2(int epfd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask)
{
	return readiness_epoll_wait(epfd, events, max, timeout, mask);
}

/* ---- syscall() ---- */

/* libaio: the kernel would do the I/O past us. */
static bool refuse_native_aio(long n, struct iocb **list, long *result)
{
	for (long i = 0; conn_count() && i < n; i++) {
		if (!fdtab_get(list[i]->aio_fildes))
			continue;
		errno = EINVAL;
		*result = -1;
		return true;
	}
	return false;
}

/* The descriptor calls, whose numbers the table must follow, and a new ring. */
static bool syscall_on_descriptors(long number, long a, long b, long c, long *result)
{
	switch (number) {
	case SYS_close:
		*result = tlsulp_close(a);
		return true;
	case SYS_close_range:
		*result = call_close_range(a, b, c);
		return true;
	case SYS_dup:
		*result = tlsulp_dup(a);
		return true;
#ifdef SYS_dup2
	case SYS_dup2:
		*result = tlsulp_dup2(a, b);
		return true;
#endif
	case SYS_dup3:
		*result = tlsulp_dup3(a, b, c);
		return true;
	case SYS_fcntl:
		*result = call_fcntl(a, b, (void *)c);
		return true;
	case SYS_ioctl:
		*result = call_ioctl(a, b, (void *)c);
		return true;
	case SYS_socket:
		*result = call_new_fd(real.socket(a, b, c));
		return true;
	case SYS_accept:
		*result = call_new_fd(real.accept(a, (void *)b, (void *)c));
		return true;
	case SYS_pidfd_getfd:
		*result = call_pidfd_getfd(a, b, c);
		return true;
	case SYS_unshare:
		*result = call_unshare(a);
		return true;
	case SYS_execve:
		*result = exec_ve((void *)a, (void *)b, (void *)c);
		return true;
	case SYS_io_submit:
		return refuse_native_aio(b, (void *)c, result);
	case SYS_io_uring_setup:
		uring_seen();
		return false;
	case SYS_rt_sigaction:
		if (b)
			signals_give_up();
		return false;
	case SYS_exit_group:
		linger_before_exit();
		return false;
	default:
		return false;
	}
}

static bool syscall_on_socket(long number, long a, long b, long c, long d, long e, long f,
			      long *result)
{
	switch (number) {
	case SYS_read:
		*result = tlsulp_read(a, (void *)b, c);
		return true;
	case SYS_write:
		*result = tlsulp_write(a, (void *)b, c);
		return true;
	case SYS_readv:
		*result = tlsulp_readv(a, (void *)b, c);
		return true;
	case SYS_writev:
		*result = tlsulp_writev(a, (void *)b, c);
		return true;
	case SYS_preadv2:
		*result = call_preadv2(a, (void *)b, c, d, f);
		return true;
	case SYS_pwritev2:
		*result = call_pwritev2(a, (void *)b, c, d, f);
		return true;
	case SYS_sendto:
		*result = tlsulp_sendto(a, (void *)b, c, d, (void *)e, f);
		return true;
	case SYS_recvfrom:
		*result = tlsulp_recvfrom(a, (void *)b, c, d, (void *)e, (void *)f);
		return true;
	case SYS_sendmsg:
		*result = tlsulp_sendmsg(a, (void *)b, c);
		return true;
	case SYS_recvmsg:
		*result = tlsulp_recvmsg(a, (void *)b, c);
		return true;
	case SYS_sendmmsg:
		*result = tlsulp_sendmmsg(a, (void *)b, c, d);
		return true;
	case SYS_recvmmsg:
		*result = tlsulp_recvmmsg(a, (void *)b, c, d, (void *)e);
		return true;
	case SYS_sendfile:
		*result = tlsulp_sendfile(a, b, (void *)c, d);
		return true;
	case SYS_splice:
		*result = tlsulp_splice(a, (void *)b, c, (void *)d, e, f);
		return true;
	case SYS_setsockopt:
		*result = tlsulp_setsockopt(a, b, c, (void *)d, e);
		return true;
	case SYS_getsockopt:
		*result = tlsulp_getsockopt(a, b, c, (void *)d, (void *)e);
		return true;
	case SYS_shutdown:
		*result = tlsulp_shutdown(a, b);
		return true;
	case SYS_connect:
		*result = tlsulp_connect(a, (void *)b, c);
		return true;
	case SYS_listen:
		*result = tlsulp_listen(a, b);
		return true;
	default:
		return false;
	}
}

/* Calls that would find a pipe without what its tube holds, by their first arguments. */
static void leave_tubes(long number, long a, long b, long c)
{
	switch (number) {
	case SYS_splice:
		return;
#ifdef SYS_fork
	case SYS_fork:
	case SYS_vfork:
	case SYS_poll:
	case SYS_select:
#endif
	case SYS_clone:
	case SYS_clone3:
	case SYS_ppoll:
	case SYS_pselect6:
	case SYS_execveat:
	case SYS_io_submit:
	case SYS_io_uring_setup:
		tube_leave_all();
		return;
	case SYS_epoll_ctl:
		tube_leave(c);
		return;
	case SYS_tee:
		tube_leave(b);
		tube_leave(a);
		return;
	default:
		tube_leave(a);
	}
}

long call_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	bool ulp = number == SYS_setsockopt && b == IPPROTO_TCP;
	long result;

	leave_tubes(number, a, b, c);
	if (syscall_on_descriptors(number, a, b, c, &result))
		return result;
	if ((ulp || fdtab_get(a) || number == SYS_splice || number == SYS_sendmsg ||
	     number == SYS_sendmmsg) &&
	    syscall_on_socket(number, a, b, c, d, e, f, &result))
		return result;
	return real.syscall(number, a, b, c, d, e, f);
}
