// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/rights.h"

#include "user/arrival.h"
#include "user/handover.h"
#include "user/fault.h"
#include "user/include/tlsulp.h"
#include "user/loader.h"
#include "user/parcel.h"
#include "user/process.h"
#include "user/real.h"
#include "user/say.h"
#include "user/tube.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define RIGHTS_MAX 253 /* descriptors in one message (unix(7)) */
#define CONTROL_MAX 2048 /* of the program's, beside the parcels */
#define CONTROL_ROOM (CONTROL_MAX + CMSG_SPACE(RIGHTS_MAX * sizeof(int)))

/* ---- out ---- */

/* A message whose descriptors have sessions. */
struct outgoing {
	size_t fds; /* that the program sends */
	size_t end; /* where the next control message would begin */
	struct conn *conns[RIGHTS_MAX]; /* pinned */
	int ways[RIGHTS_MAX];
	size_t n; /* conns */
	size_t ready; /* of these have a slot in ways */
	bool keys; /* at least one of them has keys */
};

static bool is_listed(const struct outgoing *o, const struct conn *c)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->conns[i] == c)
			return true;
	return false;
}

static void list_conns(struct outgoing *o, struct cmsghdr *m)
{
	size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++, o->fds++) {
		struct conn *c;
		int fd;

		memcpy(&fd, CMSG_DATA(m) + i * sizeof(fd), sizeof(fd));
		c = o->n < RIGHTS_MAX ? conn_pin(fd) : NULL;
		o->keys |= c && conn_has_key(c);
		if (c && !is_listed(o, c))
			o->conns[o->n++] = c;
		else if (c)
			conn_unpin(c);
	}
}

/* The kernel gets the message after us and says what is wrong with it: here only valid ones count.
 */
static void list_message(struct outgoing *o, const struct msghdr *msg)
{
	struct msghdr copy = *msg;

	for (struct cmsghdr *m = CMSG_FIRSTHDR(&copy); m; m = CMSG_NXTHDR(&copy, m)) {
		size_t at = (char *)m - (char *)copy.msg_control;

		if (m->cmsg_len < sizeof(*m) || m->cmsg_len > copy.msg_controllen - at)
			return;
		if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS)
			list_conns(o, m);
		o->end = at + CMSG_ALIGN(m->cmsg_len);
	}
}

static void forget(struct outgoing *o, bool sent)
{
	while (o->n--) {
		if (o->n < o->ready && !sent)
			handover_cancel(o->conns[o->n], o->ways[o->n]);
		conn_unpin(o->conns[o->n]);
	}
}

/*
 * Who reads at the other end? Of a socket pair the kernel names the process that
 * made it. Asked once for each process.
 */
static bool peer_loads(int fd)
{
	static uint64_t asked_start;
	static pid_t asked;
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	uint64_t start;

	if (real.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.pid <= 0)
		return false;
	start = process_start(cred.pid);
	if (asked == cred.pid && asked_start == start)
		return true;
	if (!loader_is_in(cred.pid))
		return false;
	asked_start = start;
	asked = cred.pid;
	return true;
}

static bool refuse(const char *why)
{
	static int told;

	say_once(told,
		 "a TLS socket is not passed to another process (SCM_RIGHTS): %s. sendmsg "
		 "says EOPNOTSUPP.",
		 why);
	errno = EOPNOTSUPP;
	return false;
}

/* A parcel for each: false with EOPNOTSUPP. */
static bool pack(struct outgoing *o, int fd, int *parcels)
{
	if (!peer_loads(fd))
		return refuse("the process at the other end does not run under tlsulp, or that "
			      "cannot be told (unconnected socket, other user, gone)");
	if (o->fds + o->n > RIGHTS_MAX)
		return refuse("a session takes the place of one more descriptor, and a message "
			      "has 253 at most; send fewer at a time");
	for (; o->ready < o->n; o->ready++) {
		struct conn *c = o->conns[o->ready];
		int err = handover_pack(c);

		if (err == -EBUSY)
			return refuse("other processes hold it who cannot follow; they got it by "
				      "a fork of a process with more than 64 TLS connections");
		parcels[o->ready] = err ? -1 : parcel_fd(arena_parcel(c->arena));
		if (parcels[o->ready] < 0)
			return refuse("no memfd can be had for its session");
		o->ways[o->ready] = handover_reserve(c);
		if (o->ways[o->ready] < 0)
			return refuse("256 processes hold it already");
	}
	return true;
}

static ssize_t send_with_parcels(int fd, const struct msghdr *user, int flags, struct outgoing *o)
{
	union {
		char bytes[CONTROL_ROOM];
		struct cmsghdr align;
	} control;
	struct msghdr msg = *user;
	int parcels[RIGHTS_MAX];
	struct cmsghdr *m;

	/* Without keys it is plain TCP still, and any process may have it. */
	if (!o->keys && !peer_loads(fd))
		return real.sendmsg(fd, user, flags);
	if (o->end > CONTROL_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	if (!pack(o, fd, parcels))
		return -1;
	/* First: if numbers run out at the other end no socket comes without its session. */
	memset(&control, 0, sizeof(control));
	m = &control.align;
	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(o->n * sizeof(int));
	memcpy(CMSG_DATA(m), parcels, o->n * sizeof(int));
	memcpy(control.bytes + CMSG_SPACE(o->n * sizeof(int)), user->msg_control,
	       user->msg_controllen < o->end ? user->msg_controllen : o->end);
	msg.msg_control = &control;
	msg.msg_controllen = o->end + CMSG_SPACE(o->n * sizeof(int));
	return real.sendmsg(fd, &msg, flags);
}

/*
 * Who gets a pipe finds its bytes there. With connections list_conns() looks at each number; else
 * what may bring numbers ends all tubes.
 */
static void leave_tubes(const struct msghdr *user)
{
	struct msghdr msg;

	if (!tube_any() || conn_count())
		return;
	if (user && fault_is_ready() && (fault_copy(&msg, user, sizeof(msg)) || !msg.msg_control))
		return;
	tube_leave_all();
}

ssize_t rights_sendmsg(int fd, const struct msghdr *user, int flags)
{
	struct outgoing o;
	sigjmp_buf jump;
	ssize_t n;
	int saved;

	leave_tubes(user);
	if (!conn_count() || !user || fault_init())
		return real.sendmsg(fd, user, flags);
	o.n = o.ready = o.fds = o.end = 0;
	o.keys = false;
	if (!fault_guarded(jump)) {
		forget(&o, false);
		return real.sendmsg(fd, user, flags); /* EFAULT: the kernel will say so */
	}
	if (user->msg_control && user->msg_controllen)
		list_message(&o, user);
	fault_done();
	if (!o.n)
		return real.sendmsg(fd, user, flags);
	n = send_with_parcels(fd, user, flags, &o);
	saved = errno;
	forget(&o, n >= 0);
	errno = saved;
	return n;
}

int rights_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	unsigned int done = 0, len;
	ssize_t got = 0;

	leave_tubes(NULL);
	if (!conn_count() || !msgs)
		return real.sendmmsg(fd, msgs, n, flags);
	for (; done < n; done++) {
		got = rights_sendmsg(fd, &msgs[done].msg_hdr, flags);
		if (got < 0)
			break;
		len = got;
		if (!fault_copy(&msgs[done].msg_len, &len, sizeof(len)))
			continue;
		errno = EFAULT;
		got = -1;
		break;
	}
	return done ? (int)done : got;
}

/* ---- in ---- */

/* The program's control buffer, filled as the kernel would, which may be bad memory. */
struct delivery {
	char *control;
	size_t room, used;
	int flags;
};

/* As memmove() to the front of the same buffer. */
static int move(char *to, const char *from, size_t n)
{
	char piece[256];

	for (size_t at = 0, len; at < n && to != from; at += len) {
		len = n - at < sizeof(piece) ? n - at : sizeof(piece);
		if (fault_copy(piece, from + at, len) || fault_copy(to + at, piece, len))
			return -EFAULT;
	}
	return 0;
}

/* The kernel says nothing of a message that it cannot write, and goes on. */
static int put(struct delivery *d, int level, int type, const void *data, size_t n)
{
	struct cmsghdr m = { .cmsg_len = CMSG_LEN(n), .cmsg_level = level, .cmsg_type = type };
	size_t left = d->room - d->used;
	char *at = d->control + d->used;

	if (left < sizeof(m)) {
		d->flags |= MSG_CTRUNC;
		return 0;
	}
	if (left < m.cmsg_len) {
		d->flags |= MSG_CTRUNC;
		m.cmsg_len = left;
	}
	/* What came into this very buffer moves to the front. */
	if (move(at + CMSG_LEN(0), data, m.cmsg_len - CMSG_LEN(0)) || fault_copy(at, &m, sizeof(m)))
		return -EFAULT;
	d->used += CMSG_SPACE(n) < left ? CMSG_SPACE(n) : left;
	return 0;
}

/* How many numbers can be written to the program's memory. */
static size_t writable(const struct delivery *d, const int *fds, size_t n)
{
	char *at = d->control + d->used + CMSG_LEN(0);
	size_t i = 0;

	while (i < n && !fault_copy(at + i * sizeof(*fds), &fds[i], sizeof(*fds)))
		i++;
	return i;
}

static void close_numbers(const int *fds, size_t n)
{
	while (n--)
		tlsulp_close(fds[n]);
}

/* With the lowest number that is free, as if it came just now. */
static int lowered(int fd)
{
	bool cloexec = real.fcntl(fd, F_GETFD) & FD_CLOEXEC;
	int low = real.fcntl(fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);

	if (low < 0)
		return fd;
	sys_call(SYS_close, low < fd ? fd : low);
	return low < fd ? low : fd;
}

/* Parcels come first, and took the numbers that are the program's. */
static void give_way(int *fds, size_t n)
{
	struct parcel_head head;
	size_t i;

	for (i = 0; i < n && parcel_is_one(fds[i], &head); i++) {
		int high = parcel_step_aside(fds[i]);

		if (high < 0)
			break;
		sys_call(SYS_close, fds[i]);
		fds[i] = high;
	}
	for (bool moved = i; moved && i < n; i++)
		fds[i] = lowered(fds[i]);
}

static void put_rights(struct delivery *d, int *fds, size_t n, void (*came)(int fd))
{
	size_t left = d->room - d->used, fit;

	give_way(fds, n);
	for (size_t i = 0; i < n; i++)
		came(fds[i]);
	n = arrival_sort(fds, n);
	fit = left < CMSG_LEN(sizeof(int)) ? 0 : (left - CMSG_LEN(0)) / sizeof(int);
	fit = writable(d, fds, n < fit ? n : fit);
	if (n > fit)
		d->flags |= MSG_CTRUNC;
	close_numbers(fds + fit, n - fit);
	if (fit && put(d, SOL_SOCKET, SCM_RIGHTS, fds, fit * sizeof(int)))
		close_numbers(fds, fit);
}

/* The header of the control message at *@at, which moves past it. */
static bool next_message(const struct msghdr *got, size_t *at, struct cmsghdr *m)
{
	size_t left = got->msg_controllen - *at;

	if (*at > got->msg_controllen || left < sizeof(*m) ||
	    fault_copy(m, (char *)got->msg_control + *at, sizeof(*m)) || m->cmsg_len < sizeof(*m) ||
	    m->cmsg_len > left)
		return false;
	*at += CMSG_ALIGN(m->cmsg_len);
	return true;
}

static void deliver(struct delivery *d, const struct msghdr *got, void (*came)(int fd))
{
	struct cmsghdr m;
	int fds[RIGHTS_MAX];

	for (size_t at = 0, from = 0; next_message(got, &at, &m); from = at) {
		char *data = (char *)got->msg_control + from + CMSG_LEN(0);
		size_t n = m.cmsg_len - CMSG_LEN(0);

		if (m.cmsg_level != SOL_SOCKET || m.cmsg_type != SCM_RIGHTS)
			put(d, m.cmsg_level, m.cmsg_type, data, n);
		else if (n <= sizeof(fds) && !fault_copy(fds, data, n))
			put_rights(d, fds, n / sizeof(int), came);
	}
}

/* What recvmsg() tells in its header. The message is gone, wherever that is. */
static int report(struct msghdr *user, const struct msghdr *got, const struct delivery *d)
{
	sigjmp_buf jump;

	if (!fault_guarded(jump))
		return -EFAULT;
	if (got->msg_name)
		user->msg_namelen = got->msg_namelen;
	user->msg_flags = d->flags;
	user->msg_controllen = d->used;
	fault_done();
	return 0;
}

static bool is_unix(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return !real.getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX;
}

/* May descriptors come, and can the program's memory be looked at? */
static bool is_ready(int fd)
{
	return fault_is_ready() || (is_unix(fd) && !fault_init());
}

/*
 * With room for the parcels beside what the program expects. What has much room
 * itself has it for them too.
 */
ssize_t rights_recvmsg(int fd, struct msghdr *user, int flags, void (*came)(int fd))
{
	union {
		char bytes[CONTROL_ROOM];
		struct cmsghdr align;
	} control;
	struct msghdr msg;
	struct delivery d;
	ssize_t n;

	if (!is_ready(fd) || fault_copy(&msg, user, sizeof(msg)) || !msg.msg_control ||
	    msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return real.recvmsg(fd, user, flags);
	d = (struct delivery){ .control = msg.msg_control, .room = msg.msg_controllen };
	if (msg.msg_controllen <= CONTROL_MAX) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	n = real.recvmsg(fd, &msg, flags);
	if (n < 0)
		return n;
	d.flags = msg.msg_flags;
	deliver(&d, &msg, came);
	if (!report(user, &msg, &d))
		return n;
	errno = EFAULT;
	return -1;
}

/* One at a time where descriptors may come: recvmmsg may return fewer than asked for. */
int rights_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
		    struct timespec *timeout, void (*came)(int fd))
{
	unsigned int len;
	ssize_t got;

	if (!n || !msgs || !is_unix(fd))
		return real.recvmmsg(fd, msgs, n, flags, timeout);
	/* Of a timeout the first message only knows whether it is one. */
	if (timeout && real.recvmmsg(fd, msgs, 0, flags, timeout) < 0)
		return -1;
	got = rights_recvmsg(fd, &msgs[0].msg_hdr, flags & ~MSG_WAITFORONE, came);
	if (got < 0)
		return -1;
	len = got;
	if (!fault_copy(&msgs[0].msg_len, &len, sizeof(len)))
		return 1;
	errno = EFAULT;
	return -1;
}
