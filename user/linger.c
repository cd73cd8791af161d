// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/linger.h"

#include "user/readiness.h"
#include "user/real.h"
#include "user/stats.h"
#include "user/say.h"
#include "user/transmit.h"
#include "user/wire.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/sock_diag.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#define GRACE_MS 10 /* the program itself will mostly be back sooner */
#define EXIT_WAIT_MS 10000 /* where the peer reads nothing and no buffer can grow */
#define FULL_WAIT_MS 100 /* where there is no descriptor for a duplicate either */
#define NOTES_MAX 1024

/* What follows once all is out. */
enum then {
	THEN_NOTHING,
	THEN_SHUTDOWN, /* of the program's descriptor */
	THEN_CLOSE, /* of a duplicate that is ours alone */
};

/* A connection with something left to send. */
struct note {
	struct conn *conn; /* pinned */
	int fd;
	enum then then;
	int how; /* of shutdown */
	bool with_open; /* the open record goes out too */
};

static struct lock list_lock; /* all below */
static struct note notes[NOTES_MAX];
static unsigned int note_count;
static uint32_t work; /* futex: grows with each note */
static bool thread_runs;

static void *run(void *unused);

static bool is_lingering(const struct conn *c)
{
	return __atomic_load_n(&c->lingering, __ATOMIC_ACQUIRE);
}

static void not_lingering(struct conn *c)
{
	__atomic_store_n(&c->lingering, false, __ATOMIC_RELEASE);
}

/* ---- the thread ---- */

static bool start_thread(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	err = pthread_create(&thread, &attr, run, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return !err;
}

/* There is work: see that somebody does it. False: no thread to be had. */
static bool wake_thread(void)
{
	struct lock_guard g;
	bool start, ok = true;

	lock_enter(&list_lock, &g);
	start = !thread_runs;
	thread_runs = true;
	__atomic_add_fetch(&work, 1, __ATOMIC_RELEASE);
	lock_leave(&list_lock, &g);
	if (start)
		ok = start_thread();
	else
		sys_call(SYS_futex, &work, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	if (!ok) {
		lock_enter(&list_lock, &g);
		thread_runs = false;
		lock_leave(&list_lock, &g);
	}
	return ok;
}

static void sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

/* All that can go now: 0, -EAGAIN, or the socket's errno. */
static int push(struct conn *c, int fd, bool with_open)
{
	return with_open ? transmit_open(c, fd, true) : transmit_rest(c, fd);
}

static void end_note(struct note *n)
{
	if (n->then == THEN_CLOSE) {
		conn_forget(n->fd);
		real.close(n->fd);
	}
	conn_unpin(n->conn);
}

/* True: nothing is left to do. A number that was closed gives way to another of the connection. */
static bool do_note(struct note *n)
{
	struct conn_guard g;
	int err;

	if (!conn_owns(n->conn, n->fd))
		n->fd = conn_find_fd(n->conn);
	if (n->fd < 0 || conn_enter_tx(n->conn, n->fd, &g)) {
		not_lingering(n->conn);
		return true;
	}
	err = push(n->conn, n->fd, n->with_open);
	/* Under the lock: the next rest that is left behind gets a note of its own. */
	if (err != -EAGAIN && n->then == THEN_NOTHING) {
		not_lingering(n->conn);
		/* The socket tells it once, and the program is to hear it. */
		if (err && err != -EPIPE)
			n->conn->session->tx.pending_error = err;
	}
	conn_leave_tx(n->conn, &g);
	return err != -EAGAIN;
}

/* Only this thread takes notes off the list, and others add at its end. */
static void do_notes(void)
{
	struct lock_guard g;
	unsigned int n = __atomic_load_n(&note_count, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < n;) {
		struct note note = notes[i];

		if (!do_note(&note)) {
			notes[i++].fd = note.fd;
			continue;
		}
		/* While it is on the list: an exit waits for it. */
		if (note.then == THEN_SHUTDOWN && conn_owns(note.conn, note.fd))
			real.shutdown(note.fd, note.how);
		lock_enter(&list_lock, &g);
		n = __atomic_sub_fetch(&note_count, 1, __ATOMIC_RELEASE);
		notes[i] = notes[n];
		lock_leave(&list_lock, &g);
		end_note(&note);
	}
}

/* Sleep until one of the sockets takes bytes, or for a moment. */
static void wait_for_room(void)
{
	struct pollfd p[64];
	struct lock_guard g;
	nfds_t n;

	lock_enter(&list_lock, &g);
	for (n = 0; n < note_count && n < 64; n++)
		p[n] = (struct pollfd){ notes[n].fd, POLLOUT, 0 };
	lock_leave(&list_lock, &g);
	real.poll(p, n, GRACE_MS);
}

static void *run(void *unused)
{
	struct timespec idle = { 1, 0 };
	struct lock_guard g;
	uint32_t seen;
	bool done;

	pthread_setname_np(pthread_self(), "tlsulp-linger");
	for (;;) {
		seen = __atomic_load_n(&work, __ATOMIC_ACQUIRE);
		sleep_ms(GRACE_MS);
		do_notes();
		if (__atomic_load_n(&note_count, __ATOMIC_ACQUIRE)) {
			wait_for_room();
			continue;
		}
		sys_call(SYS_futex, &work, FUTEX_WAIT_PRIVATE, seen, &idle, NULL, 0);
		lock_enter(&list_lock, &g);
		done = !note_count;
		if (done)
			thread_runs = false;
		lock_leave(&list_lock, &g);
		if (done)
			return NULL;
	}
}

/* ---- a larger send buffer ---- */

static uint32_t wmem_max(void)
{
	char text[32] = { 0 };
	int fd =
		sys_call(SYS_openat, AT_FDCWD, "/proc/sys/net/core/wmem_max", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 212992;
	sys_call(SYS_read, fd, text, sizeof(text) - 1);
	sys_call(SYS_close, fd);
	return strtoul(text, NULL, 10);
}

/*
 * Let the kernel take @len bytes more than it wants to. This ends autotuning of
 * the buffer, so it is done only when the socket will not send again.
 */
static void grow_sndbuf(int fd, size_t len)
{
	uint32_t mem[SK_MEMINFO_VARS];
	socklen_t mem_len = sizeof(mem);
	int want;

	if (real.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &mem_len))
		return;
	/* The kernel doubles what is set, and it counts an skb with its overhead. */
	want = mem[SK_MEMINFO_WMEM_QUEUED] / 2 + len + 4096;
	if (!real.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof(want)))
		return;
	if (mem[SK_MEMINFO_SNDBUF] < 2ull * wmem_max())
		real.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want));
}

/* ---- before the end ---- */

/* Push, and where the buffer is full, ask for a larger one. Under tx_lock. */
static int push_hard(struct conn *c, int fd, bool with_open)
{
	struct session_tx *tx = &c->session->tx;
	int err = push(c, fd, with_open);

	/* A connection that lives on elsewhere keeps its autotuning. */
	if (err == -EAGAIN && conn_is_only_holder(c))
		grow_sndbuf(fd, tx->rest_len + (with_open ? TLS_WIRE_MAX : 0));
	for (int i = 0; i < 3 && err == -EAGAIN; i++)
		err = push(c, fd, with_open);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* Wait here until all is out, at most @ms. True: it is. */
static bool wait_out(struct conn *c, int fd, bool with_open, int ms)
{
	struct conn_guard g;
	int err = -EAGAIN;

	int64_t end = now_ms() + ms;

	while (err == -EAGAIN) {
		struct pollfd p = { fd, POLLOUT, 0 };

		if (conn_enter_tx(c, fd, &g))
			return true;
		err = push_hard(c, fd, with_open);
		conn_leave_tx(c, &g);
		if (err == -EAGAIN && now_ms() >= end)
			break;
		if (err == -EAGAIN)
			real.poll(&p, 1, 10);
	}
	return err != -EAGAIN;
}

/* One go. True: nothing is left (or nothing can be done). */
static bool flush(struct conn *c, int fd, bool with_open)
{
	struct conn_guard g;
	int err;

	if (conn_enter_tx(c, fd, &g))
		return true;
	err = wire_check(c, fd) ? push_hard(c, fd, with_open) : 0;
	conn_leave_tx(c, &g);
	return err != -EAGAIN;
}

/* Leave it to the thread: false if there is none, or no room for the note. */
static bool add_note(struct note note)
{
	struct conn *pinned = conn_pin(note.fd);
	struct lock_guard g;
	bool added = false;

	if (pinned == note.conn) {
		lock_enter(&list_lock, &g);
		added = note_count < NOTES_MAX;
		if (added) {
			notes[note_count] = note;
			__atomic_add_fetch(&note_count, 1, __ATOMIC_RELEASE);
		}
		lock_leave(&list_lock, &g);
	}
	if (!added && pinned)
		conn_unpin(pinned);
	return added && wake_thread();
}

/* The number @fd goes, what is left needs one: a duplicate that only the thread knows. */
static bool keep_by_duplicate(struct conn *c, int fd, bool with_open)
{
	int dup = real.fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (dup < 0)
		return false;
	conn_add_fd(c, dup);
	if (add_note((struct note){ c, dup, THEN_CLOSE, 0, with_open }))
		return true;
	conn_forget(dup);
	real.close(dup);
	return false;
}

static bool has_something(const struct conn *c)
{
	const struct session_tx *tx = &conn_session(c)->tx;

	return tx->rest_len || tx->engine.open_len;
}

/* SO_LINGER: -1: not set; 0: the connection is reset; else milliseconds. */
static int linger_time(int fd)
{
	struct linger l = { 0 };
	socklen_t len = sizeof(l);

	if (real.getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) || !l.l_onoff)
		return -1;
	return l.l_linger > 3600 ? 3600000 : l.l_linger * 1000;
}

void linger_before_close(struct conn *c, int fd)
{
	bool with_open;
	int ms;

	if (!tls_tx_is_set(&conn_session(c)->tx.engine))
		return;
	if (c->fds > 1)
		return; /* another number carries on, see do_note() */
	with_open = conn_is_last_here(c);
	if (!with_open && !is_lingering(c))
		return; /* what may be left was left by another process, which sees to it */
	ms = linger_time(fd);
	if (!ms)
		return;
	if (flush(c, fd, with_open) || (ms > 0 && wait_out(c, fd, with_open, ms)))
		return;
	if (!keep_by_duplicate(c, fd, with_open))
		wait_out(c, fd, with_open, FULL_WAIT_MS);
	else if (with_open) /* the last holder: or epoll would go on reporting the dead number */
		readiness_remove(fd);
}

bool linger_before_shutdown(struct conn *c, int fd, int how)
{
	struct conn_guard g;
	bool left;

	if (how == SHUT_RD || !tls_tx_is_set(&conn_session(c)->tx.engine) || flush(c, fd, true))
		return false;
	left = add_note((struct note){ c, fd, THEN_SHUTDOWN, how, true });
	if (!left) {
		wait_out(c, fd, true, FULL_WAIT_MS);
		return false;
	}
	if (!conn_enter_tx(c, fd, &g)) {
		tls_tx_fail(&c->session->tx.engine, -EPIPE); /* for the program it is shut down */
		conn_leave_tx(c, &g);
	}
	return true;
}

void linger_note(struct conn *c, int fd)
{
	if (__atomic_exchange_n(&c->lingering, true, __ATOMIC_ACQ_REL))
		return;
	if (add_note((struct note){ c, fd, THEN_NOTHING, 0, false }))
		return;
	/* No thread can be had: let the kernel take the rest now. */
	not_lingering(c);
	flush(c, fd, false);
}

/* To the program it is shut down, in truth not yet: what is left goes first. */
static bool is_shut(const struct conn *c)
{
	return conn_session(c)->tx.engine.error == -EPIPE;
}

static int64_t exit_end; /* one time for all connections */
static bool (*exit_goes)(const struct conn *c);

static void exit_fd(int fd, struct conn *c)
{
	bool only = conn_is_last_here(c);
	int64_t left = exit_end - now_ms();

	if (exit_goes && exit_goes(c))
		return;
	if (has_something(c) && (only || is_lingering(c) || is_shut(c)) && linger_time(fd))
		wait_out(c, fd, only, left > 0 ? left : 0);
}

static bool has_shutdowns(void)
{
	struct lock_guard g;
	bool any = false;

	lock_enter(&list_lock, &g);
	for (unsigned int i = 0; i < note_count; i++)
		any |= notes[i].then == THEN_SHUTDOWN;
	lock_leave(&list_lock, &g);
	return any;
}

void linger_before_exec(bool (*goes)(const struct conn *c))
{
	if (!conn_count())
		return;
	exit_goes = goes;
	exit_end = now_ms() + EXIT_WAIT_MS;
	conn_each_fd(exit_fd);
	/* Another process may go on with the socket: nobody but the thread here would shut it down.
	 */
	while (has_shutdowns() && now_ms() < exit_end)
		sleep_ms(1);
}

/* The kernel closes what is open; the counters must hear of it. */
static void count_out(int fd, struct conn *c)
{
	struct conn_guard g;

	if (conn_enter_both(c, fd, &g))
		return;
	if (conn_is_only_holder(c))
		stats_conn_gone(c->session);
	conn_leave_both(c, &g);
}

void linger_before_exit(void)
{
	linger_before_exec(NULL);
	conn_each_fd(count_out);
}

void linger_after_fork(void)
{
	list_lock = (struct lock){ 0 };
	for (unsigned int i = 0; i < note_count; i++) {
		if (notes[i].then == THEN_CLOSE) {
			conn_forget(notes[i].fd);
			real.close(notes[i].fd);
		}
		not_lingering(notes[i].conn);
		conn_unpin(notes[i].conn);
	}
	note_count = 0;
	thread_runs = false;
}
