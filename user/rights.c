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

#include <errno.h>
#include <string.h>

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
	memset(&control, 0, sizeof(control));
	memcpy(&control, user->msg_control,
	       user->msg_controllen < o->end ? user->msg_controllen : o->end);
	m = (struct cmsghdr *)(control.bytes + o->end);
	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(o->n * sizeof(int));
	memcpy(CMSG_DATA(m), parcels, o->n * sizeof(int));
	msg.msg_control = &control;
	msg.msg_controllen = o->end + CMSG_SPACE(o->n * sizeof(int));
	return real.sendmsg(fd, &msg, flags);
}

ssize_t rights_sendmsg(int fd, const struct msghdr *user, int flags)
{
	struct outgoing o;
	sigjmp_buf jump;
	ssize_t n;
	int saved;

	if (!conn_count())
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
	unsigned int done = 0;
	ssize_t got = 0;

	if (!conn_count())
		return real.sendmmsg(fd, msgs, n, flags);
	for (; done < n; done++) {
		got = rights_sendmsg(fd, &msgs[done].msg_hdr, flags);
		if (got < 0)
			break;
		msgs[done].msg_len = got;
	}
	return done ? (int)done : got;
}

/* ---- in ---- */

/* The program's control buffer, filled as the kernel would. */
struct delivery {
	struct msghdr *user;
	size_t room, used;
	int flags;
};

static void put(struct delivery *d, int level, int type, const void *data, size_t n)
{
	struct cmsghdr m = { .cmsg_len = CMSG_LEN(n), .cmsg_level = level, .cmsg_type = type };
	size_t left = d->room - d->used;
	char *at = (char *)d->user->msg_control + d->used;

	if (left < sizeof(m)) {
		d->flags |= MSG_CTRUNC;
		return;
	}
	if (left < m.cmsg_len) {
		d->flags |= MSG_CTRUNC;
		m.cmsg_len = left;
	}
	/* What came into this very buffer moves to the front. */
	memmove(at + CMSG_LEN(0), data, m.cmsg_len - CMSG_LEN(0));
	memcpy(at, &m, sizeof(m));
	d->used += CMSG_SPACE(n) < left ? CMSG_SPACE(n) : left;
}

static void put_rights(struct delivery *d, int *fds, size_t n, void (*came)(int fd))
{
	size_t left = d->room - d->used, fit;

	for (size_t i = 0; i < n; i++)
		came(fds[i]);
	n = arrival_sort(fds, n);
	fit = left < CMSG_LEN(sizeof(int)) ? 0 : (left - CMSG_LEN(0)) / sizeof(int);
	for (; n > fit; d->flags |= MSG_CTRUNC)
		tlsulp_close(fds[--n]);
	if (n)
		put(d, SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof(int));
}

static void deliver(struct msghdr *user, const struct msghdr *got, void (*came)(int fd))
{
	struct delivery d = { user, user->msg_controllen, 0, got->msg_flags };
	struct msghdr copy = *got;

	for (struct cmsghdr *m = CMSG_FIRSTHDR(&copy), *next; m; m = next) {
		size_t n = m->cmsg_len - CMSG_LEN(0);

		next = CMSG_NXTHDR(&copy, m);
		if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS)
			put_rights(&d, (int *)CMSG_DATA(m), n / sizeof(int), came);
		else
			put(&d, m->cmsg_level, m->cmsg_type, CMSG_DATA(m), n);
	}
	user->msg_controllen = d.used;
	user->msg_flags = d.flags;
	user->msg_namelen = got->msg_namelen;
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
	struct msghdr msg = *user;
	bool large = msg.msg_controllen > CONTROL_MAX;
	ssize_t n;

	if (!msg.msg_control || msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return real.recvmsg(fd, user, flags);
	if (!large) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	n = real.recvmsg(fd, &msg, flags);
	if (n < 0)
		return n;
	if (large)
		user->msg_controllen = msg.msg_controllen;
	deliver(user, &msg, came);
	return n;
}

static bool is_unix(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return !real.getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX;
}

/* One at a time where descriptors may come: recvmmsg may return fewer than asked for. */
int rights_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
		    struct timespec *timeout, void (*came)(int fd))
{
	ssize_t got;

	if (!n || !is_unix(fd))
		return real.recvmmsg(fd, msgs, n, flags, timeout);
	got = rights_recvmsg(fd, &msgs[0].msg_hdr, flags & ~MSG_WAITFORONE, came);
	if (got < 0)
		return -1;
	msgs[0].msg_len = got;
	return 1;
}
