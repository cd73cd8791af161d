// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Steps with options, descriptors and processes; and the end of a walk. */
#include "tests/model/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/evp.h"

#define INFO_ROOM 64
#define CHILD_STEPS 12

static bool is_ulp(int e)
{
	return !(w->openssl && e);
}

/* The direction that option @name of end @e is about. */
static int dir_of(int e, int name)
{
	return name == TLS_TX ? e : !e;
}

static bool is_set(int e, int name)
{
	return name == TLS_TX ? w->tx_set[e] : w->rx_set[!e];
}

void step_rx_key(int e)
{
	if (!is_ulp(e) || (w->rx_set[!e] && !w->dir[!e].paused))
		return;
	if (w->rx_set[!e] && !has_new_rx_key(!e))
		differ("the reader waits for a key that was never made");
	note("end %d TLS_RX", e);
	set_rx_key(!e);
}

/* ---- options ---- */

static uint64_t sequence_of(const uint8_t *info, size_t len)
{
	uint64_t be;

	memcpy(&be, info + len - sizeof(be), sizeof(be));
	return be64toh(be);
}

static void check_keys(int e, int name, const uint8_t *info, size_t len)
{
	int dir = dir_of(e, name);
	const struct model *m = &w->dir[dir];
	uint64_t start = w->openssl && w->version == TLSULP_VERSION_1_2;
	uint64_t seq = sequence_of(info, len), sent = start + m->closed - w->closed_before[dir];
	uint32_t generation = name == TLS_TX ? w->generation[dir] : w->opened[dir];
	uint8_t want[INFO_ROOM];

	if (name == TLS_TX && seq != sent)
		differ("rec_seq is %llu, model: %llu", (unsigned long long)seq,
		       (unsigned long long)sent);
	if (key_struct(dir, generation, seq, want) != len || memcmp(info, want, len - 8))
		differ("other keys than those that were set");
}

/* Reads the keys; TLS 1.3: and sets them again, which changes nothing. */
static void get_and_set_keys(int e)
{
	int name = one_in(2) ? TLS_TX : TLS_RX, dir = dir_of(e, name);
	uint8_t info[INFO_ROOM];
	socklen_t len = info_size(w->cipher);

	note("end %d gets and sets %s again", e, name == TLS_TX ? "TLS_TX" : "TLS_RX");
	if (!is_set(e, name)) {
		must_fail("get", getsockopt(any_fd(e), SOL_TLS, name, info, &len), EBUSY);
		return;
	}
	if (getsockopt(any_fd(e), SOL_TLS, name, info, &len) || len != info_size(w->cipher))
		differ("getsockopt of keys: %s", error_name(errno));
	check_keys(e, name, info, len);
	if (w->version == TLSULP_VERSION_1_2) {
		must_fail("set", setsockopt(any_fd(e), SOL_TLS, name, info, len), EBUSY);
	} else if (name == TLS_TX ? !w->dir[e].open : !w->dir[dir].paused) {
		/* An open record would end first, under the number that is set here. */
		if (setsockopt(any_fd(e), SOL_TLS, name, info, len))
			differ("setting the same keys: %s", error_name(errno));
	}
}

static void set_limit(int e)
{
	struct model *m = &w->dir[e];
	uint16_t least = w->version == TLSULP_VERSION_1_3 ? 63 : 64;
	uint16_t limit = one_in(2) ? 16384 : 63 + draw(one_in(2) ? 200 : 16384 - 62), now = 0;
	int want = limit < least ? EINVAL : m->open ? EBUSY : 0;
	socklen_t len = sizeof(now);

	note("end %d limit %u", e, limit);
	if (setsockopt(any_fd(e), SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &limit, sizeof(limit))) {
		if (errno != want)
			differ("got %s, model: %s", error_name(errno), error_name(want));
	} else {
		if (want)
			differ("got 0, model: %s", error_name(want));
		m->limit = limit;
	}
	if (getsockopt(any_fd(e), SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &now, &len) ||
	    now != m->limit)
		differ("the limit is %u, model: %u", now, m->limit);
}

static void set_lowat(int e)
{
	int value = 1 + draw(3000), got = 0;
	socklen_t len = sizeof(got);

	if (!w->rx_set[!e])
		return;
	note("end %d SO_RCVLOWAT %d", e, value);
	if (setsockopt(any_fd(e), SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)) ||
	    getsockopt(any_fd(e), SOL_SOCKET, SO_RCVLOWAT, &got, &len) || got != value)
		differ("got %d", got);
	w->lowat[e] = value;
}

static void block(int e, bool on)
{
	int flags = fcntl(any_fd(e), F_GETFL);

	fcntl(any_fd(e), F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
	w->nonblock[e] = !on;
}

static void set_blocking(int e)
{
	bool on = one_in(2);

	note("end %d O_NONBLOCK %d", e, !on);
	if (((fcntl(any_fd(e), F_GETFL) & O_NONBLOCK) != 0) != w->nonblock[e])
		differ("the flags of the file are other ones");
	block(e, on);
}

static void set_zerocopy(int e)
{
	int on = one_in(2), got = -1;
	socklen_t len = sizeof(got);

	note("end %d TLS_TX_ZEROCOPY_RO %d", e, on);
	if (setsockopt(any_fd(e), SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &on, sizeof(on)) ||
	    getsockopt(any_fd(e), SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &got, &len) || got != on)
		differ("got %d", got);
}

void step_option(int e)
{
	if (!is_ulp(e))
		return;
	switch (draw(6)) {
	case 0:
		get_and_set_keys(e);
		break;
	case 1:
		set_limit(e);
		break;
	case 2:
		set_lowat(e);
		break;
	case 3:
		set_blocking(e);
		break;
	case 4:
		set_zerocopy(e);
		break;
	default:
		step_rx_key(e);
	}
}

static void bad_keys(int e)
{
	int name = one_in(2) ? TLS_TX : TLS_RX, fd = any_fd(e);
	int want = w->version == TLSULP_VERSION_1_2 ? EBUSY : EINVAL;
	uint8_t info[INFO_ROOM];
	size_t len;

	if (!is_set(e, name))
		return;
	len = key_struct(0, 0, 0, info);
	note("end %d bad keys", e);
	must_fail("NULL", setsockopt(fd, SOL_TLS, name, NULL, len), EINVAL);
	must_fail("3 bytes", setsockopt(fd, SOL_TLS, name, info, 3), EINVAL);
	must_fail("short", setsockopt(fd, SOL_TLS, name, info, len - 1), want);
	must_fail("long", setsockopt(fd, SOL_TLS, name, info, len + 1), want);
	must_fail("bad pointer", setsockopt(fd, SOL_TLS, name, border(), len),
		  want == EBUSY ? EBUSY : EFAULT);
	info[2] ^= 1;
	must_fail("another cipher", setsockopt(fd, SOL_TLS, name, info, len), want);
	info[2] ^= 1;
	info[0] ^= 7;
	must_fail("another version", setsockopt(fd, SOL_TLS, name, info, len), want);
	len = 5;
	must_fail("get 5 bytes", getsockopt(fd, SOL_TLS, name, info, (socklen_t *)&len), EINVAL);
}

static void bad_values(int e)
{
	int fd = any_fd(e), two = 2, one = 1;
	uint16_t low = 62, high = 16385;
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	bool pads = w->version == TLSULP_VERSION_1_3 && w->rx_set[!e];

	note("end %d bad options", e);
	must_fail("option 99", setsockopt(fd, SOL_TLS, 99, &one, sizeof(one)), ENOPROTOOPT);
	must_fail("limit 62", setsockopt(fd, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &low, sizeof(low)),
		  EINVAL);
	must_fail("limit 16385",
		  setsockopt(fd, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &high, sizeof(high)), EINVAL);
	must_fail("limit of 4 bytes",
		  setsockopt(fd, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &one, sizeof(one)), EINVAL);
	must_fail("zerocopy 2", setsockopt(fd, SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &two, sizeof(two)),
		  EINVAL);
	must_fail("no_pad 2", setsockopt(fd, SOL_TLS, TLSULP_RX_EXPECT_NO_PAD, &two, sizeof(two)),
		  EINVAL);
	if (!pads)
		must_fail("no_pad",
			  setsockopt(fd, SOL_TLS, TLSULP_RX_EXPECT_NO_PAD, &one, sizeof(one)),
			  EINVAL);
	else if (setsockopt(fd, SOL_TLS, TLSULP_RX_EXPECT_NO_PAD, &one, sizeof(one)))
		differ("TLS_RX_EXPECT_NO_PAD: %s", error_name(errno));
	must_fail("TCP_ULP", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3), EEXIST);
	must_fail("connect", connect(fd, &none, sizeof(none)), EOPNOTSUPP);
}

void step_bad_option(int e)
{
	if (!is_ulp(e))
		return;
	if (one_in(2))
		bad_keys(e);
	else
		bad_values(e);
}

/* ---- descriptors ---- */

void step_numbers(int e)
{
	struct numbers *n = &ends[e];
	int fd, which = 1 + (n->count > 1 ? draw(n->count - 1) : 0);

	if (n->count > 1 && one_in(2)) {
		note("end %d closes number %d", e, n->fd[which]);
		if (close(n->fd[which]))
			differ("close: %s", error_name(errno));
		n->fd[which] = n->fd[--n->count];
		return;
	}
	fd = one_in(2) ? dup(any_fd(e)) : fcntl(any_fd(e), F_DUPFD_CLOEXEC, 50 + draw(50));
	if (one_in(3) && n->count > 1) {
		note("end %d dup2 %d onto %d", e, n->fd[0], n->fd[which]);
		dup2(n->fd[0], n->fd[which]);
		close(fd);
	} else if (n->count < NUMBERS_MAX) {
		note("end %d has number %d too", e, fd);
		n->fd[n->count++] = fd;
	} else {
		close(fd);
	}
}

void watch(int e)
{
	struct epoll_event event = { .events = EPOLLIN };

	w->watched[e] = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(w->watched[e], EPOLL_CTL_ADD, ends[e].fd[0], &event))
		differ("epoll_ctl: %s", error_name(errno));
}

/* ---- processes ---- */

static void close_all(int e)
{
	while (ends[e].count)
		close(ends[e].fd[--ends[e].count]);
}

/* Meanwhile OpenSSL's socket is read: who exits waits for a peer that does not. */
static void wait_child(pid_t pid)
{
	bool reads = w->openssl && !in_child && ends[1].count;
	int status, got;

	while ((got = waitpid(pid, &status, reads ? WNOHANG : 0)) <= 0) {
		if (got < 0 && errno != EINTR)
			differ("waitpid: %s", error_name(errno));
		if (!got) {
			peer_fill();
			usleep(1000);
		}
	}
	if (w->failed)
		_exit(1);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		differ("a child ended with status %#x", status);
}

#define ROOM_TRIES 3000

/*
 * Read what a child may have left unsent. Nobody else would while it exits, and after
 * ten seconds it gives up (tlsulp(7)).
 */
static void make_room(void)
{
	for (int e = 0; e < 2; e++) {
		const struct model *m = &w->dir[!e];

		for (int i = 0; i < ROOM_TRIES && is_ulp(e) && m->count; i++) {
			step_rx_key(e);
			step_recv(e);
		}
	}
}

/* A child takes some steps and ends, with or without closing its numbers. */
void step_child(int e)
{
	uint32_t until = w->step + 1 + draw(CHILD_STEPS);
	bool closes = one_in(2);
	pid_t pid;

	if (in_child)
		return;
	note("a child takes the next steps");
	w->forks++;
	pid = fork();
	if (pid < 0)
		differ("fork: %s", error_name(errno));
	if (pid) {
		wait_child(pid);
		return;
	}
	in_child = true;
	walk_steps(until);
	make_room();
	note("the child ends");
	if (closes) {
		close_all(0);
		close_all(1);
	}
	_exit(0);
}

/* A child goes on; this process lets go of all that it has, and waits for the end. */
void step_hand_over(int e)
{
	pid_t pid;

	if (in_child)
		return;
	note("a child goes on, its parent lets go");
	w->forks++;
	pid = fork();
	if (pid < 0)
		differ("fork: %s", error_name(errno));
	if (!pid)
		return;
	alarm(0);
	close_all(0);
	close_all(1);
	wait_child(pid);
	_exit(0);
}

/* ---- a writer in another process ---- */

#define PATIENCE_S 60

static void wait_readable(int dir)
{
	struct pollfd p = { any_fd(!dir), POLLIN, 0 };

	/* What OpenSSL has read already is not in its socket. */
	poll(&p, 1, is_ulp(!dir) ? 1000 : 1);
}

/* Reads until nothing that was sent is left: true, if it is to be called again. */
static bool read_on(int dir)
{
	static uint64_t last_out;
	static time_t since;
	struct model *m = &w->dir[dir];

	if (!m->count)
		return false;
	if (!since || m->out != last_out)
		since = time(NULL);
	else if (time(NULL) - since > PATIENCE_S)
		differ("nothing comes for %d s; the model has %u records", PATIENCE_S, m->count);
	last_out = m->out;
	if (m->paused)
		step_rx_key(!dir);
	else if (!one_in(3))
		wait_readable(dir);
	if (!is_ulp(!dir))
		peer_take();
	else if (one_in(8))
		step_splice_out(!dir);
	else
		step_recv(!dir);
	return true;
}

void step_stream(int e)
{
	bool blocks = !w->nonblock[e];
	pid_t pid;

	if (in_child || !is_ulp(e) || !w->rx_set[e] || !send_plan(e))
		return;
	w->streaming[e] = true;
	w->forks++;
	block(e, true);
	pid = fork();
	if (pid < 0)
		differ("fork: %s", error_name(errno));
	if (!pid) {
		alarm(120);
		stream_send(e);
		_exit(0);
	}
	while (read_on(e))
		if (one_in(4))
			step_recv(e); /* what goes the other way */
	wait_child(pid);
	block(e, blocks);
	w->streaming[e] = false;
}

/* ---- the end ---- */

void step_shutdown(int e)
{
	struct model *m = &w->dir[e];

	if (!is_ulp(e) || m->ended)
		return;
	note("end %d SHUT_WR", e);
	if (shutdown(any_fd(e), SHUT_WR))
		differ("shutdown: %s", error_name(errno));
	if (m->open)
		model_end_record(m, MODEL_DATA);
	m->ended = true;
}

static void close_end(int e)
{
	struct model *m = &w->dir[e];

	note("end %d closes", e);
	close_all(e);
	if (m->open)
		model_end_record(m, MODEL_DATA);
	m->ended = true;
}

/* OpenSSL's bytes go into the socket as the reader makes room. */
static void end_openssl(void)
{
	peer_shutdown();
	while (peer_has_pending()) {
		peer_pump(draw_size(CALL_MAX));
		read_on(1);
	}
	note("the end of OpenSSL's stream");
	shutdown(any_fd(1), SHUT_WR);
	w->dir[1].ended = true;
}

static void check_eof(int dir)
{
	struct pollfd p = { any_fd(!dir), POLLIN, 0 };
	uint8_t byte;
	ssize_t n;

	note("direction %d must have ended", dir);
	if (w->dir[dir].paused) {
		step_rx_key(!dir);
		note_more(" (new key)");
	}
	if (poll(&p, 1, 30000) != 1)
		differ("no end within 30 s");
	n = recv(any_fd(!dir), &byte, 1, 0);
	if (n)
		differ("got %zd, %s, model: the end", n, n < 0 ? error_name(errno) : "");
}

static void drain(int dir)
{
	w->streaming[dir] = one_in(2);
	while (read_on(dir))
		;
	w->streaming[dir] = false;
	check_eof(dir);
}

void finish(void)
{
	for (int e = 0; e < 2; e++)
		if (!w->rx_set[!e])
			step_rx_key(e);
	step_shutdown(0);
	drain(0);
	if (w->openssl)
		end_openssl();
	else if (w->dir[1].ended || one_in(2))
		step_shutdown(1);
	else
		close_end(1);
	drain(1);
}
