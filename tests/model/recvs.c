// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Steps that read on an end of the ULP. */
#include "tests/model/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAINT 0xa5
#define PEEK_WIRE 60000 /* a peek sees at least so much of the queue */
#define MESSAGES_MAX 5

static uint8_t room[CALL_MAX];

/* One reading call: what it asked for, and what came. */
struct reading {
	int end;
	size_t room;
	int flags;
	bool blocks; /* it may sleep */
	bool has_msg, has_control;
	struct there there;
	ssize_t ret;
	int err, msg_flags;
	uint8_t type; /* that a control message told; 0: none did */
};

static struct model *model_of(int e)
{
	return &w->dir[!e];
}

static bool can_read(int e)
{
	return w->rx_set[!e] && !(w->openssl && e);
}

/* All bytes of the first @count records that are not read. */
static size_t bytes_of(struct model *m, uint32_t count)
{
	size_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		n += model_record(m, i)->len;
	return count ? n - m->off : 0;
}

static bool is_border(struct model *m, size_t n)
{
	uint64_t at = m->off + n;

	for (uint32_t i = 0; i < m->count && at; i++) {
		if (at < model_record(m, i)->len)
			return false;
		at -= model_record(m, i)->len;
	}
	return true;
}

/* Records that a peek sees for certain. */
static uint32_t peek_count(struct model *m, uint32_t count)
{
	size_t wire = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		wire += w->openssl ? 17000 : model_record(m, i)->len + w->overhead;
		if (i && wire > PEEK_WIRE)
			break;
	}
	return i;
}

/* Would this call come back without anybody doing anything? */
static bool comes_back(const struct reading *r)
{
	struct model *m = model_of(r->end);
	uint32_t count = r->flags & MSG_PEEK ? peek_count(m, r->there.count) : r->there.count;
	struct model_result want = model_recv(m, count, r->room, r->has_control);
	size_t lowat = w->lowat[r->end];
	size_t target = r->flags & MSG_WAITALL || r->room < lowat ? r->room : lowat;

	if (!r->there.settled && !w->streaming[!r->end])
		return false;
	if (!r->there.settled && r->flags & MSG_PEEK && target > 1)
		return false; /* the socket may have no room for so much at once */
	if (want.err || !r->room)
		return want.err != EAGAIN;
	return want.n >= target || (want.type && want.type != MODEL_DATA) ||
	       want.n < bytes_of(m, count) || (m->ended && count == m->count);
}

static void check_meta(const struct reading *r, const struct model_result *want)
{
	int end = want->record_ends ? MSG_EOR : 0;
	int cut = want->type && !r->has_control ? MSG_CTRUNC : 0;

	if (w->sabotage == WRONG_EOR && want->type)
		end ^= MSG_EOR;
	if (r->has_msg && r->has_control && r->type != want->type)
		differ("got record type %u, model: %u", r->type, want->type);
	if (r->has_msg && ((r->msg_flags & MSG_CTRUNC) != cut ||
			   (!(r->flags & MSG_PEEK) && (r->msg_flags & MSG_EOR) != end)))
		differ("got msg_flags %#x, model: %#x", r->msg_flags, end | cut);
}

/* Which errno, or at most how much: @exact says that less is wrong. */
static struct model_result expect(const struct reading *r, bool *exact)
{
	struct model *m = model_of(r->end);
	struct model_result want = model_recv(m, r->there.count, r->room, r->has_control);

	*exact = r->there.settled || m->paused || !r->room;
	if (w->sabotage == WRONG_ERRNO && want.err == EIO)
		want.err = EINVAL;
	return want;
}

static bool is_enough(const struct reading *r, const struct model_result *want, bool exact)
{
	struct model *m = model_of(r->end);
	size_t n = r->ret, least;

	if (n > want->n || (!n && want->n))
		return false;
	if (n == want->n)
		return true;
	least = model_recv(m, peek_count(m, r->there.count), r->room, r->has_control).n;
	if (r->blocks && r->flags & MSG_WAITALL && !(r->flags & MSG_PEEK))
		return false;
	if (exact && !(r->flags & MSG_PEEK && n >= least))
		return false;
	return is_border(m, n);
}

/* What came must be what the model says; then the model goes on, unless it was a peek. */
static void check_read(struct reading *r, const uint8_t *p)
{
	struct model *m = model_of(r->end);
	bool exact;
	struct model_result want = expect(r, &exact);

	note_more(" -> %zd %s", r->ret, r->ret < 0 ? error_name(r->err) : "");
	w->exact += exact;
	w->loose += !exact;
	if (r->ret < 0) {
		if (r->err != want.err && (exact || r->err != EAGAIN || r->blocks))
			differ("got %s, model: %s, %zu bytes", error_name(r->err),
			       error_name(want.err), want.n);
		return;
	}
	if (want.err || !is_enough(r, &want, exact))
		differ("got %zd bytes, model: %s%zu, errno %s", r->ret, exact ? "" : "up to ",
		       want.n, error_name(want.err));
	if (!model_same(m, p, r->ret))
		differ("other bytes than the model's, at %llu of the stream",
		       (unsigned long long)m->out);
	want = model_recv(m, r->there.count, r->ret, r->has_control);
	check_meta(r, &want);
	if (!(r->flags & MSG_PEEK))
		model_take(m, r->ret);
}

static void paint(size_t n)
{
	memset(room, PAINT, n);
}

static void check_paint(size_t from, size_t to)
{
	if (from < to &&
	    (room[from] != PAINT || memcmp(room + from, room + from + 1, to - from - 1)))
		differ("memory after the %zu bytes that came was written to", from);
}

/* ---- the calls ---- */

union control {
	char bytes[64];
	struct cmsghdr align;
};

static void prepare_msg(struct reading *r, struct msghdr *msg, union control *control)
{
	static const size_t rooms[] = { 0, 10, CMSG_LEN(1), CMSG_SPACE(1), 64 };

	msg->msg_control = control;
	msg->msg_controllen = one_in(3) ? rooms[draw(5)] : 64;
	r->has_msg = true;
	r->has_control = msg->msg_controllen >= CMSG_LEN(1);
}

static void read_msg(struct reading *r, const struct msghdr *msg)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	r->msg_flags = msg->msg_flags;
	if (r->ret < 0 || !c)
		return;
	if (c->cmsg_level != SOL_TLS || c->cmsg_type != TLS_GET_RECORD_TYPE ||
	    c->cmsg_len != CMSG_LEN(1))
		differ("a control message of level %d, type %d, length %zu", c->cmsg_level,
		       c->cmsg_type, (size_t)c->cmsg_len);
	r->type = *CMSG_DATA(c);
}

static const char *const read_names[] = { "recvmsg", "recv", "recvfrom", "readv", "read" };

/* @kind as in read_names; those after recvfrom have no flags. */
static void read_by(struct reading *r, int kind, struct msghdr *msg, struct iovec *iov)
{
	int fd = any_fd(r->end);

	if (kind == 0)
		r->ret = recvmsg(fd, msg, r->flags);
	else if (kind == 1)
		r->ret = recv(fd, room, r->room, r->flags);
	else if (kind == 2)
		r->ret = recvfrom(fd, room, r->room, r->flags, NULL, NULL);
	else if (kind == 3)
		r->ret = readv(fd, iov, msg->msg_iovlen);
	else
		r->ret = read(fd, room, r->room);
	r->err = errno;
	if (kind == 0)
		read_msg(r, msg);
}

static int draw_read_flags(void)
{
	int flags = 0;

	if (one_in(4))
		flags |= MSG_PEEK;
	if (one_in(4))
		flags |= MSG_WAITALL;
	if (one_in(8))
		flags |= MSG_NOSIGNAL;
	return flags;
}

void step_recv(int e)
{
	struct reading r = { .end = e, .room = draw_size(CALL_MAX) };
	struct iovec iov[VECTOR_MAX];
	struct msghdr msg = { .msg_iov = iov };
	union control control;
	int kind = draw(2) ? 0 : draw(5);

	if (!can_read(e))
		return;
	r.there = link_there(!e);
	if (kind < 3)
		r.flags = draw_read_flags();
	if (kind == 0)
		prepare_msg(&r, &msg, &control);
	msg.msg_iovlen = split_vector(iov, room, r.room);
	r.blocks = !w->nonblock[e] && comes_back(&r) && (kind > 2 || one_in(2));
	if (!r.blocks && !w->nonblock[e] && kind > 2)
		kind = 1;
	if (!r.blocks && kind < 3)
		r.flags |= MSG_DONTWAIT;
	note("end %d %s %zu flags %#x%s%s", e, read_names[kind], r.room, r.flags,
	     r.has_control ? " control" : "", r.there.settled ? "" : " (unsettled)");
	paint(r.room);
	read_by(&r, kind, &msg, iov);
	check_read(&r, room);
	check_paint(r.ret > 0 ? r.ret : 0, r.room);
}

void step_recvmmsg(int e)
{
	struct mmsghdr msgs[MESSAGES_MAX] = { 0 };
	struct reading r = {
		.end = e, .flags = MSG_DONTWAIT, .has_msg = true, .has_control = true
	};
	union control control[MESSAGES_MAX];
	struct iovec iov[MESSAGES_MAX];
	int n = 1 + draw(MESSAGES_MAX), got, err;
	size_t at = 0;

	if (!can_read(e))
		return;
	r.there = link_there(!e);
	note("end %d recvmmsg", e);
	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ room + at, 1 + draw_size(60000) };
		msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = &control[i],
			.msg_controllen = sizeof(control[i]),
		};
		at += iov[i].iov_len;
		note_more(" %zu", iov[i].iov_len);
	}
	paint(at);
	got = recvmmsg(any_fd(e), msgs, n, r.flags, NULL);
	err = errno;
	for (int i = 0; i < n && i < (got < 1 ? 1 : got); i++) {
		uint32_t before = model_of(e)->count;

		r.room = iov[i].iov_len;
		r.type = 0;
		r.ret = got < 1 ? got : (ssize_t)msgs[i].msg_len;
		r.err = err;
		read_msg(&r, &msgs[i].msg_hdr);
		check_read(&r, iov[i].iov_base);
		r.there.count -= before - model_of(e)->count;
	}
	r.room = 1;
	if (got > 0 && got < n && r.ret && r.there.settled &&
	    !model_recv(model_of(e), r.there.count, 1, true).err)
		differ("recvmmsg stopped after %d messages though there was more", got);
}

void step_splice_out(int e)
{
	struct model *m = model_of(e);
	struct there there;
	struct model_result want;
	size_t len = draw_size(40000);
	int fresh[2], err;
	bool keeps = one_in(2);
	const int *pipes = keeps ? kept_pipe() : fresh;
	ssize_t ret;

	if (!can_read(e) || !len)
		return;
	there = link_there(!e);
	want = model_splice(m, there.count, len);
	if (!keeps && pipe2(fresh, O_CLOEXEC))
		differ("no pipe: %s", error_name(errno));
	note("end %d splice %zu to %s pipe", e, len, keeps ? "the kept" : "a fresh");
	ret = splice(any_fd(e), NULL, pipes[1], NULL, len, SPLICE_F_NONBLOCK);
	err = ret < 0 ? errno : 0;
	note_more(" -> %zd %s", ret, err ? error_name(err) : "");
	w->exact += there.settled;
	w->loose += !there.settled;
	if ((err != want.err || (!err && (size_t)ret != want.n)) &&
	    (there.settled || err != EAGAIN || m->paused))
		differ("got %zd, %s, model: %zu, %s", ret, error_name(err), want.n,
		       error_name(want.err));
	if (ret > 0) {
		if (read(pipes[0], room, sizeof(room)) != ret || !model_same(m, room, ret))
			differ("other bytes in the pipe than the model's");
		model_take(m, ret);
		if (keeps)
			end_kept_pipe();
	}
	if (!keeps) {
		close(fresh[0]);
		close(fresh[1]);
	}
}

/* The room after the first @good bytes is not to be had: nothing is lost. */
static void bad_pointer(int e)
{
	struct reading r = { .end = e };
	size_t good = draw_size(30000), bad = 1 + draw(4096);
	struct model *m = model_of(e);
	struct model_result want;
	uint8_t *p = border() - good;

	r.room = good + bad;
	r.flags = MSG_DONTWAIT | (one_in(3) ? MSG_PEEK : 0);
	r.there = link_there(!e);
	want = model_recv(m, r.there.count, r.room, false);
	note("end %d recv %zu, bad after %zu, flags %#x", e, r.room, good, r.flags);
	r.ret = recv(any_fd(e), p, r.room, r.flags);
	r.err = errno;
	if (want.err || want.n <= good) {
		check_read(&r, p);
		return;
	}
	note_more(" -> %zd %s", r.ret, r.ret < 0 ? error_name(r.err) : "");
	if (r.ret < 0 ? r.err != EFAULT && (r.there.settled || r.err != EAGAIN)
		      : !r.ret || (size_t)r.ret > good || !model_same(m, p, r.ret))
		differ("got %zd, %s, model: EFAULT or up to %zu bytes of %zu", r.ret,
		       error_name(r.ret < 0 ? r.err : 0), good, want.n);
	if (r.ret > 0 && !(r.flags & MSG_PEEK))
		model_take(m, r.ret);
}

static void bad_arguments(int e)
{
	static struct iovec many[VECTOR_MAX + 1];
	struct msghdr msg = { .msg_iov = many, .msg_iovlen = VECTOR_MAX + 1 };
	int fd = any_fd(e), file = open("/dev/null", O_WRONLY | O_CLOEXEC);

	note("end %d bad arguments for reading", e);
	must_fail("recvmsg of 1025 parts", recvmsg(fd, &msg, MSG_DONTWAIT), EMSGSIZE);
	must_fail("readv of 1025 parts", readv(fd, many, VECTOR_MAX + 1), EINVAL);
	must_fail("recvmsg of nothing", recvmsg(fd, (struct msghdr *)border(), MSG_DONTWAIT),
		  EFAULT);
	must_fail("MSG_OOB", recv(fd, room, 10, MSG_OOB | MSG_DONTWAIT), EINVAL);
	must_fail("splice to no pipe", splice(fd, NULL, file, NULL, 10, SPLICE_F_NONBLOCK), EINVAL);
	close(file);
}

void step_bad_recv(int e)
{
	if (!can_read(e))
		return;
	if (one_in(3))
		bad_arguments(e);
	else
		bad_pointer(e);
}

/* ---- readiness ---- */

enum ready { NO, YES, UNKNOWN };

static enum ready readable(int e)
{
	struct model *m = model_of(e);
	struct there there = link_there(!e);

	if (m->paused)
		return m->ended ? UNKNOWN : NO;
	if (!m->count && !m->ended)
		return NO;
	if (!there.settled)
		return UNKNOWN;
	return there.count || (m->ended && !m->count) ? YES : m->ended ? UNKNOWN : NO;
}

static bool by_poll(int fd, int timeout)
{
	struct pollfd p = { fd, POLLIN, 0 };

	poll(&p, 1, timeout);
	return p.revents & POLLIN;
}

static bool by_select(int fd, int timeout)
{
	struct timeval t = { timeout / 1000, timeout % 1000 * 1000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	select(fd + 1, &set, NULL, NULL, &t);
	return FD_ISSET(fd, &set);
}

static bool by_epoll(int fd, int timeout)
{
	struct epoll_event event = { .events = EPOLLIN | (one_in(2) ? EPOLLET : 0) };
	int set = epoll_create1(EPOLL_CLOEXEC), n;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	n = epoll_wait(set, &event, 1, timeout);
	close(set);
	return n == 1 && event.events & EPOLLIN;
}

static bool by_watch(int set, int timeout)
{
	struct epoll_event event;

	return epoll_wait(set, &event, 1, timeout) == 1 && event.events & EPOLLIN;
}

void step_poll(int e)
{
	static const char *const names[] = { "poll", "select", "epoll", "watch" };
	int kind = draw(w->watched[e] >= 0 ? 4 : 3), timeout, fd = any_fd(e);
	enum ready want;
	bool got;

	if (!can_read(e))
		return;
	want = readable(e);
	timeout = one_in(2) ? 0 : want == YES ? 20000 : draw(4);
	note("end %d %s, %d ms", e, names[kind], timeout);
	got = kind == 0   ? by_poll(fd, timeout)
	      : kind == 1 ? by_select(fd, timeout)
	      : kind == 2 ? by_epoll(fd, timeout)
			  : by_watch(w->watched[e], timeout);
	note_more(" -> %s", got ? "readable" : "not readable");
	w->exact += want != UNKNOWN;
	if (want != UNKNOWN && got != (want == YES))
		differ("%s says %sreadable, model: %sreadable", names[kind], got ? "" : "not ",
		       want == YES ? "" : "not ");
}
