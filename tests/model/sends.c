// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Steps that send on an end of the ULP. */
#include "tests/model/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_SIZE (1500u << 10)
#define MESSAGES_MAX 5

static uint8_t text[CALL_MAX];

static bool fits(int e, size_t n)
{
	const struct model *m = &w->dir[e];

	return w->tx_set[e] && m->in - m->out + n <= MODEL_BYTES / 2 &&
	       m->count + n / m->limit + 2 <= MODEL_RECORDS / 2;
}

/* Would a call without MSG_DONTWAIT come back? */
static bool comes_back(int e, size_t n)
{
	return w->nonblock[e] || has_room(e, n) || w->dir[e].ended;
}

static int draw_flags(int e, size_t n)
{
	int flags = MSG_NOSIGNAL | (comes_back(e, n) && one_in(2) ? 0 : MSG_DONTWAIT);

	if (one_in(3) && !w->dir[e].ended)
		flags |= MSG_MORE;
	else if (one_in(6))
		flags |= MSG_EOR;
	return flags;
}

/* Setting the limit, to what it is already, says whether a record is open. */
static void check_open(int e, bool may_have_ended)
{
	struct model *m = &w->dir[e];
	uint16_t limit = m->limit;
	bool open = setsockopt(any_fd(e), SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &limit,
			       sizeof(limit)) != 0;

	if (open && errno != EBUSY)
		differ("TLS_TX_MAX_PAYLOAD_LEN: %s", error_name(errno));
	if (m->open && !open && may_have_ended)
		model_end_record(m, MODEL_DATA);
	if ((m->open != 0) != open)
		differ("a record is %sopen, the model has %u bytes in it", open ? "" : "not ",
		       m->open);
}

/* A call returned @ret (with errno): is that what the model says? */
static void check_sent(int e, const struct model_call *call, uint8_t *p, ssize_t ret)
{
	struct model *m = &w->dir[e];
	int err = ret < 0 ? errno : 0, want = model_send(m, call);
	bool needs_none = !call->len && !(call->control && m->open);
	bool sure = needs_none || has_room(e, call->len);

	note_more(" -> %zd %s", ret, err ? error_name(err) : "");
	w->exact += want || sure;
	w->loose += !want && !sure;
	if (err == EPIPE && m->ended && !call->len)
		return; /* TCP says so, the kernel's ULP does not: the contract leaves it open */
	if (err != want && (want || err != EAGAIN || sure))
		differ("got %s, model: %s", error_name(err), error_name(want));
	if (err) {
		if (err == EAGAIN)
			check_open(e, call->control != MODEL_NO_CONTROL);
		return;
	}
	if ((size_t)ret > call->len || (sure && (size_t)ret < call->len))
		differ("got %zd, model: %zu", ret, call->len);
	if (w->sabotage == FLIP_BYTE && ret)
		p[draw(ret)] ^= 1;
	if (!model_sent(m, call, p, ret))
		differ("a short count of %zd ends inside a record", ret);
	if ((size_t)ret < call->len)
		check_open(e, false);
	if (ret && !call->control)
		w->alerts = 0;
	w->bytes += ret;
}

static ssize_t send_by(int e, int kind, const struct model_call *call, uint8_t *p)
{
	struct iovec iov[VECTOR_MAX];
	struct msghdr msg = { .msg_iov = iov };
	int fd = any_fd(e);

	switch (kind) {
	case 0:
		if (w->sabotage == DROP_BYTE && call->len > 1)
			return send(fd, p, call->len - 1, call->flags) + 1;
		return send(fd, p, call->len, call->flags);
	case 1:
		return sendto(fd, p, call->len, call->flags, NULL, 0);
	case 2:
		msg.msg_iovlen = split_vector(iov, p, call->len);
		return sendmsg(fd, &msg, call->flags);
	case 3:
		return writev(fd, iov, split_vector(iov, p, call->len));
	default:
		return write(fd, p, call->len);
	}
}

void step_send(int e)
{
	static const char *const names[] = { "send", "sendto", "sendmsg", "writev", "write" };
	struct model_call call = { .len = draw_size(CALL_MAX) };
	int kind;

	if (!fits(e, call.len))
		return;
	call.flags = draw_flags(e, call.len);
	kind = draw(comes_back(e, call.len) && !w->dir[e].ended ? 5 : 3);
	if (kind > 2)
		call.flags = 0;
	note("end %d %s %zu flags %#x", e, names[kind], call.len, call.flags);
	fill_drawn(text, call.len);
	check_sent(e, &call, text, send_by(e, kind, &call, text));
}

void step_sendmmsg(int e)
{
	struct mmsghdr msgs[MESSAGES_MAX] = { 0 };
	struct iovec iov[MESSAGES_MAX];
	struct model_call call = { .flags = draw_flags(e, CALL_MAX) };
	int n = 1 + draw(MESSAGES_MAX), got, err;
	size_t at = 0;

	if (!fits(e, CALL_MAX) || w->dir[e].ended)
		return;
	note("end %d sendmmsg flags %#x:", e, call.flags);
	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ text + at, draw_size(CALL_MAX / MESSAGES_MAX) };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		at += iov[i].iov_len;
		note_more(" %zu", iov[i].iov_len);
	}
	fill_drawn(text, at);
	got = sendmmsg(any_fd(e), msgs, n, call.flags);
	err = errno;
	note_more(" -> %d messages", got);
	for (int i = 0; i < n && i < (got < 1 ? 1 : got); i++) {
		call.len = iov[i].iov_len;
		errno = err;
		check_sent(e, &call, iov[i].iov_base, got < 1 ? got : (ssize_t)msgs[i].msg_len);
	}
	if (got < n && (got < 1 || msgs[got - 1].msg_len == iov[got - 1].iov_len) &&
	    has_room(e, iov[got < 0 ? 0 : got].iov_len))
		differ("sendmmsg stopped though there was room");
}

/* ---- files and pipes ---- */

static uint8_t file[FILE_SIZE];

static int open_file(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	for (size_t i = 0; i < FILE_SIZE; i++)
		file[i] = (i * 2654435761u) >> 24 ^ i >> 16;
	fd = memfd_create("model", MFD_CLOEXEC);
	if (write(fd, file, FILE_SIZE) != FILE_SIZE)
		differ("no file: %s", error_name(errno));
	return fd;
}

void step_sendfile(int e)
{
	int fd = open_file();
	off_t at = draw(FILE_SIZE + 1000), start = at, after;
	bool by_pointer = one_in(2);
	size_t count = draw_size(CALL_MAX);
	size_t left = at < FILE_SIZE ? FILE_SIZE - at : 0;
	struct model_call call = { .len = count < left ? count : left };
	ssize_t ret;

	if (!fits(e, call.len) || !comes_back(e, call.len) || w->dir[e].ended)
		return;
	lseek(fd, by_pointer ? 7 : at, SEEK_SET);
	note("end %d sendfile %zu at %lld%s", e, count, (long long)at, by_pointer ? "" : " (own)");
	ret = sendfile(any_fd(e), fd, by_pointer ? &at : NULL, count);
	after = lseek(fd, 0, SEEK_CUR);
	check_sent(e, &call, file + (left ? start : 0), ret);
	if (after != (by_pointer ? 7 : start + (ret > 0 ? ret : 0)) ||
	    (by_pointer && at != start + (ret > 0 ? ret : 0)))
		differ("offset %lld, file at %lld", (long long)at, (long long)after);
}

static int kept[2] = { -1, -1 };

int *kept_pipe(void)
{
	if (kept[0] < 0 && pipe2(kept, O_CLOEXEC))
		differ("no pipe: %s", error_name(errno));
	return kept;
}

void end_kept_pipe(void)
{
	close(kept[0]);
	close(kept[1]);
	kept[0] = kept[1] = -1;
}

/* What the call left in the pipe is what comes out of it. */
static void check_left(const int *pipes, const uint8_t *p, size_t n)
{
	static uint8_t left[60000];

	if (n && (read(pipes[0], left, sizeof(left)) != (ssize_t)n || memcmp(left, p, n)))
		differ("other bytes are left in the pipe");
}

/* From @pipes, which have @have bytes at @p: true if none of them is left. */
static bool splice_in(int e, const int *pipes, uint8_t *p, size_t have)
{
	size_t len = one_in(2) ? have : draw_size(CALL_MAX), left;
	struct model_call call = { .flags = one_in(3) ? MSG_MORE : 0 };
	int flags = SPLICE_F_NONBLOCK | (call.flags ? SPLICE_F_MORE : 0);
	ssize_t ret;

	len += !len;
	call.len = have < len ? have : len;
	note("end %d splice %zu of %zu in %s pipe, flags %#x", e, len, have,
	     pipes == kept ? "the kept" : "a fresh", flags);
	ret = splice(pipes[0], NULL, any_fd(e), NULL, len, flags);
	left = have - (ret > 0 ? ret : 0);
	if (ret > 0 && (size_t)ret < call.len && !has_room(e, call.len))
		call.len = ret; /* what came out of the pipe is in records, ended or full */
	check_sent(e, &call, p, ret);
	check_left(pipes, p + have - left, left);
	return !left;
}

static void splice_in_fresh(int e, size_t have)
{
	int pipes[2];

	fill_drawn(text, have);
	if (pipe2(pipes, O_CLOEXEC) || write(pipes[1], text, have) != (ssize_t)have)
		differ("no pipe: %s", error_name(errno));
	splice_in(e, pipes, text, have);
	close(pipes[0]);
	close(pipes[1]);
}

static bool splice_in_kept(int e, size_t have)
{
	off64_t at = draw(FILE_SIZE - 60000), from = at;

	if (splice(open_file(), &from, kept_pipe()[1], NULL, have, 0) != (ssize_t)have)
		differ("less of the file went into the pipe");
	if (splice_in(e, kept, file + at, have))
		return true;
	end_kept_pipe();
	return false;
}

void step_splice_in(int e)
{
	bool keeps = one_in(2), again = true;

	for (int n = keeps ? 8 : 1; n && again; n--) {
		size_t have = draw_size(one_in(2) ? 60000 : 2000);

		if (!fits(e, have) || w->dir[e].ended || !have)
			return;
		if (keeps)
			again = splice_in_kept(e, have);
		else
			splice_in_fresh(e, have);
	}
}

/* ---- records of other types ---- */

union control {
	char bytes[CMSG_SPACE(1) + 16];
	struct cmsghdr align;
};

static ssize_t send_control(int e, const struct model_call *call, uint8_t *p, int cmsg_type,
			    size_t cmsg_len)
{
	union control control = { { 0 } };
	struct iovec iov[VECTOR_MAX];
	struct msghdr msg = { .msg_iov = iov,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(1) };

	msg.msg_iovlen = split_vector(iov, p, call->len);
	control.align.cmsg_level = SOL_TLS;
	control.align.cmsg_type = cmsg_type;
	control.align.cmsg_len = cmsg_len;
	*CMSG_DATA(&control.align) = call->type;
	return sendmsg(any_fd(e), &msg, call->flags);
}

void step_control(int e)
{
	static const uint8_t types[] = { 20, 21, 22, 23, 24, 100, 255 };
	struct model_call call = { .control = MODEL_TYPE, .type = types[draw(7)] };

	call.len = call.type == MODEL_HANDSHAKE ? draw(60) : draw_size(40000);
	if (w->openssl) {
		call.type = one_in(2) ? MODEL_DATA : SSL3_RT_ALERT;
		call.len = call.type == MODEL_DATA ? call.len : 2;
		if (call.type != MODEL_DATA && w->alerts++ > 3)
			return;
	}
	if (!fits(e, call.len) || w->dir[e].ended)
		return;
	call.flags = draw_flags(e, call.len) & ~MSG_MORE;
	fill_drawn(text, call.len);
	if (call.type == MODEL_HANDSHAKE)
		text[0] = 1; /* no KeyUpdate */
	if (w->openssl && call.type != MODEL_DATA) {
		text[0] = SSL3_AL_WARNING;
		text[1] = SSL_AD_USER_CANCELLED;
	}
	note("end %d sends type %u, %zu bytes, flags %#x", e, call.type, call.len, call.flags);
	check_sent(e, &call, text, send_control(e, &call, text, TLS_SET_RECORD_TYPE, CMSG_LEN(1)));
}

void step_key_update(int e)
{
	struct model_call call = { MSG_DONTWAIT | MSG_NOSIGNAL, MODEL_TYPE, MODEL_HANDSHAKE, 5 };
	uint8_t message[5] = { MODEL_KEY_UPDATE, 0, 0, 1, w->openssl && one_in(2) };
	uint64_t before = w->dir[e].in;

	if (w->version != TLSULP_VERSION_1_3 || !fits(e, 5) || w->dir[e].ended)
		return;
	note("end %d KeyUpdate", e);
	check_sent(e, &call, message,
		   send_control(e, &call, message, TLS_SET_RECORD_TYPE, CMSG_LEN(1)));
	if (w->dir[e].in == before)
		return;
	note("end %d new TLS_TX", e);
	set_tx_key(e);
}

/* ---- calls that fail ---- */

static void bad_flags(int e)
{
	static const int flags[] = {
		MSG_OOB,      MSG_DONTROUTE,      MSG_PEEK,
		MSG_FASTOPEN, MSG_MORE | MSG_EOR, MSG_MORE | MSG_EOR | MSG_OOB
	};
	struct model_call call = { .flags = flags[draw(6)] | MSG_DONTWAIT, .len = draw_size(3000) };

	note("end %d send %zu flags %#x", e, call.len, call.flags);
	fill_drawn(text, call.len);
	check_sent(e, &call, text, send_by(e, draw(3), &call, text));
}

static void bad_control(int e)
{
	struct model_call call = { MSG_DONTWAIT, MODEL_BAD_CONTROL, 21, draw_size(100) };
	int kind = draw(4);

	if (kind == 0)
		call.flags |= MSG_MORE;
	if (kind == 1)
		call.flags |= MSG_MORE | MSG_OOB;
	note("end %d sendmsg %zu flags %#x, bad control %d", e, call.len, call.flags, kind);
	fill_drawn(text, call.len);
	check_sent(e, &call, text,
		   send_control(e, &call, text,
				kind == 2 ? TLS_GET_RECORD_TYPE : TLS_SET_RECORD_TYPE,
				kind == 3 ? CMSG_LEN(0) : CMSG_LEN(1)));
}

/* The bytes after the first @good are not to be had: whole records before them may go. */
static void bad_pointer(int e)
{
	size_t good = draw_size(50000), bad = 1 + draw(4096);
	struct model_call call = { MSG_DONTWAIT | (one_in(3) ? MSG_MORE : 0), MODEL_NO_CONTROL, 0,
				   good + bad };
	uint8_t *p = border() - good;
	ssize_t ret;

	if (!fits(e, good + bad))
		return;
	note("end %d send %zu, bad after %zu, flags %#x", e, call.len, good, call.flags);
	fill_drawn(p, good);
	ret = send(any_fd(e), p, call.len, call.flags);
	if (ret < 0 && errno == EFAULT) {
		note_more(" -> EFAULT");
		check_open(e, false);
		return;
	}
	if (ret >= 0 && (size_t)ret > good)
		differ("%zd bytes were taken, %zu are good", ret, good);
	if (ret < 0 && has_room(e, call.len))
		differ("got %s, model: EFAULT", error_name(errno));
	note_more(" -> %zd", ret);
	if (ret >= 0 && !model_sent(&w->dir[e], &call, p, ret))
		differ("a short count of %zd ends inside a record", ret);
	check_open(e, false);
}

static void bad_arguments(int e)
{
	static struct iovec many[VECTOR_MAX + 1];
	struct msghdr msg = { .msg_iov = many, .msg_iovlen = VECTOR_MAX + 1 };
	int fd = any_fd(e), pipes[2];
	off_t negative = -1;

	note("end %d bad arguments", e);
	must_fail("sendmsg of 1025 parts", sendmsg(fd, &msg, MSG_DONTWAIT), EMSGSIZE);
	must_fail("writev of 1025 parts", writev(fd, many, VECTOR_MAX + 1), EINVAL);
	must_fail("sendmsg of nothing",
		  sendmsg(fd, (struct msghdr *)border(), MSG_DONTWAIT | MSG_NOSIGNAL), EFAULT);
	must_fail("sendfile from before the file", sendfile(fd, open_file(), &negative, 10),
		  EINVAL);
	must_fail("sendfile to a bad offset", sendfile(fd, open_file(), (off_t *)border(), 10),
		  EFAULT);
	if (pipe2(pipes, O_CLOEXEC))
		differ("no pipe: %s", error_name(errno));
	must_fail("sendfile from a pipe", sendfile(fd, pipes[0], NULL, 10), EINVAL);
	must_fail("splice to an offset", splice(pipes[0], NULL, fd, &(off64_t){ 0 }, 10, 0),
		  ESPIPE);
	must_fail("listen", listen(fd, 1), EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}

void step_bad_send(int e)
{
	if (!w->tx_set[e] || w->dir[e].ended)
		return;
	switch (draw(4)) {
	case 0:
		bad_flags(e);
		break;
	case 1:
		bad_control(e);
		break;
	case 2:
		bad_pointer(e);
		break;
	default:
		bad_arguments(e);
	}
}

/* ---- a plan that another process carries out ---- */

#define PLAN_MAX 40

static struct {
	struct model_call calls[PLAN_MAX];
	int kinds[PLAN_MAX], count;
} plan;

bool send_plan(int e)
{
	size_t at = 0;

	plan.count = 1 + draw(PLAN_MAX);
	if (!fits(e, CALL_MAX) || w->dir[e].ended)
		return false;
	fill_drawn(text, CALL_MAX);
	note("end %d streams", e);
	for (int i = 0; i < plan.count; i++) {
		struct model_call *call = &plan.calls[i];

		*call = (struct model_call){ .flags = MSG_NOSIGNAL,
					     .len = draw_size((CALL_MAX - at) / 2) };
		plan.kinds[i] = draw(3);
		if (one_in(3) && i + 1 < plan.count)
			call->flags |= MSG_MORE;
		model_sent(&w->dir[e], call, text + at, call->len);
		at += call->len;
		note_more(" %zu%s", call->len, call->flags & MSG_MORE ? "+" : "");
	}
	return true;
}

void stream_send(int e)
{
	size_t at = 0;

	for (int i = 0; i < plan.count; i++) {
		struct model_call *call = &plan.calls[i];
		ssize_t ret = send_by(e, plan.kinds[i], call, text + at);

		if (ret != (ssize_t)call->len)
			differ("blocking %d-th send of %zu: got %zd, %s", i, call->len, ret,
			       ret < 0 ? error_name(errno) : "");
		at += ret;
	}
}
