// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/conn.h"

#include "user/asleep.h"
#include "user/exec.h"
#include "user/fault.h"
#include "user/handover.h"
#include "user/holders.h"
#include "user/linger.h"
#include "user/parcel.h"
#include "user/process.h"
#include "user/readiness.h"
#include "user/real.h"
#include "user/say.h"
#include "user/signals.h"
#include "user/stats.h"
#include "user/streams.h"
#include "user/tube.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CONNS_MAX 65536u

struct conn *fdtab[FDTAB_SIZE];
uint32_t conn_counter;

static struct conn *pool; /* CONNS_MAX, mapped once */
static struct lock pool_lock; /* pool, fdtab's writers */
static uint32_t pool_top, pool_free;
static int fd_top; /* no number from here on is in fdtab */
static uint32_t moving; /* numbers that are FDTAB_MOVING */

/* ---- the pool ---- */

static struct conn *conn_new(void)
{
	struct conn *c = NULL;

	if (!pool) {
		void *p = mmap(NULL, CONNS_MAX * sizeof(struct conn), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return NULL;
		pool = p;
	}
	if (pool_free) {
		c = &pool[pool_free - 1];
		pool_free = c->next_free;
	} else if (pool_top < CONNS_MAX) {
		c = &pool[pool_top++];
	}
	return c;
}

/* The last reference is gone: nobody can reach the conn, the session may live on elsewhere. */
static void conn_free(struct conn *c)
{
	struct lock_guard g;

	aead_key_free(c->tx_key);
	aead_key_free(c->rx_key);
	arena_unref(c->arena);
	if (c->left)
		arena_session_free(c->left_arena, c->left);
	if (c->left_arena)
		arena_unref(c->left_arena);
	lock_enter(&pool_lock, &g);
	c->tx_key = c->rx_key = NULL;
	c->session = c->left = NULL;
	c->arena = c->left_arena = NULL;
	c->next_free = pool_free;
	pool_free = c - pool + 1;
	__atomic_sub_fetch(&conn_counter, 1, __ATOMIC_RELAXED);
	lock_leave(&pool_lock, &g);
}

static bool ref_unless_free(struct conn *c)
{
	uint32_t n = __atomic_load_n(&c->refs, __ATOMIC_RELAXED);

	while (n)
		if (__atomic_compare_exchange_n(&c->refs, &n, n + 1, true, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

void conn_pin_again(struct conn *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_SEQ_CST);
}

void conn_unpin(struct conn *c)
{
	if (!__atomic_sub_fetch(&c->refs, 1, __ATOMIC_SEQ_CST))
		conn_free(c);
}

bool conn_is_usable(const struct conn *c)
{
	const struct session *s = conn_session(c);

	return s->generation == c->generation && s->magic == SESSION_MAGIC;
}

/* ---- forks ---- */

static bool forking;
static struct lock_guard fork_guard;

static struct conn *conn_at(uint32_t i)
{
	struct conn *c = &pool[i];

	return __atomic_load_n(&c->refs, __ATOMIC_RELAXED) && conn_session(c) ? c : NULL;
}

static void reserve_child(struct arena *a)
{
	if (arena_reserve_child(a) >= 0)
		return;
	holders_sweep(a);
	arena_reserve_child(a);
}

static void become_child(struct arena *a)
{
	if (arena_child(a) >= 0)
		arena_become(a);
}

static void before_fork(void)
{
	struct lock_guard g;

	tube_before_fork();
	if (!conn_count() || process_is_vfork_child())
		return;
	handover_pack_few();
	lock_block_signals(&g); /* a handler that closes a socket wants the lock too */
	lock_take(&pool_lock);
	readiness_before_fork();
	fork_guard = g;
	arena_each(reserve_child);
	for (uint32_t i = 0; i < pool_top; i++)
		if (conn_at(i) && arena_child(conn_at(i)->arena) >= 0)
			holders_add(conn_at(i)->session, arena_child(conn_at(i)->arena));
	forking = true;
}

static void after_fork_parent(void)
{
	struct lock_guard g = fork_guard;

	tube_after_fork_parent();
	if (!forking)
		return;
	forking = false;
	readiness_after_fork(false);
	lock_drop(&pool_lock);
	lock_restore_signals(&g);
}

static void hold_in_child(struct conn *c, bool counted)
{
	int slot = counted ? arena_child(c->arena) : arena_self(c->arena);

	/* Not counted in: the session may end under us, so it is not ours. */
	if (slot < 0 || c->session->generation != c->generation)
		c->generation = 0;
	else if (!counted)
		holders_add(c->session, slot);
	/* The parent's to free; our calls that were under way are not here. */
	c->left = NULL;
	if (c->left_arena)
		arena_unref(c->left_arena);
	c->left_arena = NULL;
}

/*
 * In the child, by atfork or at the first call after a raw clone3(). In the
 * latter case nobody counted us in: take hold of what is still alive.
 */
void conn_after_fork(void)
{
	bool counted = forking;

	if (!process_forked())
		return;
	forking = false;
	pool_lock = (struct lock){ 0 };
	tube_after_fork();
	readiness_after_fork(true);
	streams_after_fork();
	parcel_after_fork();
	signals_after_fork();
	fault_after_fork();
	exec_after_fork();
	exec_system_after_fork();
	arena_after_fork();
	if (counted)
		arena_each(become_child);
	for (uint32_t i = 0; i < pool_top; i++)
		if (conn_at(i))
			hold_in_child(conn_at(i), counted);
	/* By threads that are not here. */
	for (int fd = 0; moving && fd < fd_top; fd++)
		if (fdtab_get(fd) == FDTAB_MOVING)
			fdtab[fd] = NULL;
	moving = 0;
	linger_after_fork();
	for (uint32_t i = 0; i < pool_top; i++)
		if (conn_at(i))
			asleep_after_fork(conn_at(i));
	stats_after_fork();
	arena_unmap_unused();
	if (counted)
		lock_restore_signals(&fork_guard);
}

/* ---- pin, enter, leave ---- */

struct conn *conn_pin(int fd)
{
	struct conn *c;

	while ((c = fdtab_any(fd))) {
		if (fdtab_is_tube(c)) {
			tube_end(fd);
			if (fdtab_any(fd) == c) /* a vfork child's number is another file */
				return NULL;
			continue;
		}
		if (c == FDTAB_MOVING)
			sched_yield();
		if (c == FDTAB_MOVING || !ref_unless_free(c))
			continue;
		if (__atomic_load_n(&fdtab[fd], __ATOMIC_SEQ_CST) == c)
			break;
		conn_unpin(c);
	}
	if (c)
		conn_after_fork();
	return c;
}

/*
 * Take the lock of one side of the session, wherever that has moved meanwhile.
 * Where the last holder was killed inside, nobody knows how far it got.
 */
static struct lock *take(struct conn *c, int fd, bool tx)
{
	for (;;) {
		struct session *s = conn_session(c);
		struct lock *l = tx ? &s->tx_lock : &s->rx_lock;
		/* With the session, or newer: then the lock is given back below. */
		const struct lock_owners owners = { arena_may_own,
						    __atomic_load_n(&c->arena, __ATOMIC_RELAXED),
						    0 };
		int err = lock_take_from(l, &owners);

		if (s != conn_session(c)) {
			lock_drop(l);
			continue;
		}
		if (err == -EOWNERDEAD && conn_is_usable(c))
			conn_fail(c, fd,
				  "a process that shared it was killed in the middle of a change, "
				  "and no nonce may repeat. Reconnect.");
		return l;
	}
}

/* TLSULP_CHECK=1: is the number still the socket that it was? */
static bool check_always;

static bool is_same_socket(const struct conn *c, int fd)
{
	if (!check_always || real_is_socket(fd, c->session->cookie))
		return true;
	say("descriptor %d was closed and used again past libtlsulp; the call says EBADF", fd);
	return false;
}

/* Shared memory that cannot be: nothing of it is used, and the keys go. */
static void check_sane(struct conn *c, int fd, bool tx)
{
	struct session *s = c->session;

	if (s->generation != c->generation || !s->magic)
		return; /* it has ended */
	if (s->magic == SESSION_MAGIC &&
	    (tx ? session_tx_is_sane(s, c->arena) : session_rx_is_sane(s, c->arena)))
		return;
	session_wipe(s);
	conn_fail(c, fd, "its shared memory was overwritten. Look for a stray write.");
}

static void keep_signals_off(const struct conn *c, struct conn_guard *g)
{
	if (__builtin_expect(session_is_shared(conn_session(c)), 0))
		lock_mask_signals(&g->signals);
	else
		lock_block_signals(&g->signals);
}

static int enter(struct conn *c, int fd, struct conn_guard *g, bool tx)
{
	struct lock *l;
	int err;

	keep_signals_off(c, g);
	l = take(c, fd, tx);
	if (conn_owns(c, fd))
		check_sane(c, fd, tx);
	if (!conn_owns(c, fd) || !conn_is_usable(c) || !is_same_socket(c, fd))
		err = -EBADF;
	else
		err = c->session->dead ? -EBADMSG : 0;
	if (err) {
		lock_drop(l);
		lock_restore_signals(&g->signals);
	}
	return err;
}

int conn_enter_tx(struct conn *c, int fd, struct conn_guard *g)
{
	return enter(c, fd, g, true);
}

void conn_leave_tx(struct conn *c, struct conn_guard *g)
{
	lock_drop(&c->session->tx_lock);
	lock_restore_signals(&g->signals);
}

int conn_enter_rx(struct conn *c, int fd, struct conn_guard *g)
{
	return enter(c, fd, g, false);
}

void conn_leave_rx(struct conn *c, struct conn_guard *g)
{
	lock_drop(&c->session->rx_lock);
	lock_restore_signals(&g->signals);
}

int conn_enter_both(struct conn *c, int fd, struct conn_guard *g)
{
	keep_signals_off(c, g);
	take(c, fd, true);
	take(c, fd, false);
	if (conn_owns(c, fd))
		return 0;
	conn_leave_both(c, g);
	return -EBADF;
}

int conn_enter_options(struct conn *c, int fd, struct conn_guard *g)
{
	int err = conn_enter_both(c, fd, g);

	if (err)
		return err;
	check_sane(c, fd, true);
	check_sane(c, fd, false);
	if (!conn_is_usable(c))
		err = -EBADF;
	else if (c->session->dead)
		err = -EBADMSG;
	if (err)
		conn_leave_both(c, g);
	return err;
}

void conn_leave_both(struct conn *c, struct conn_guard *g)
{
	lock_drop(&c->session->rx_lock);
	conn_leave_tx(c, g);
}

struct session *conn_lock(struct conn *c, struct conn_guard *g)
{
	keep_signals_off(c, g);
	take(c, -1, true);
	take(c, -1, false);
	return c->session;
}

void conn_unlock(struct session *s, struct conn_guard *g)
{
	lock_drop(&s->rx_lock);
	lock_drop(&s->tx_lock);
	lock_restore_signals(&g->signals);
}

/* ---- keys ---- */

static int key_ready(struct aead_key **key, uint32_t *gen, const struct tls_keys *keys,
		     uint32_t key_gen)
{
	int err;

	if (__builtin_expect(*key && *gen == key_gen, 1))
		return 0;
	err = *key ? aead_key_set(*key, keys->key) : aead_key_new(keys->cipher, keys->key, key);
	if (!err)
		*gen = key_gen;
	return err;
}

int conn_tx_key(struct conn *c)
{
	struct tls_tx *tx = &c->session->tx.engine;

	return key_ready(&c->tx_key, &c->tx_key_gen, &tx->keys, tx->key_gen);
}

int conn_rx_key(struct conn *c)
{
	struct tls_rx *rx = &c->session->rx.engine;

	return key_ready(&c->rx_key, &c->rx_key_gen, &rx->keys, rx->key_gen);
}

int conn_make_keys(struct conn *c, int fd)
{
	struct conn_guard g;
	int err = conn_enter_options(c, fd, &g);

	if (err)
		return err;
	if (tls_tx_is_set(&c->session->tx.engine))
		err = conn_tx_key(c);
	if (!err && tls_rx_is_set(&c->session->rx.engine))
		err = conn_rx_key(c);
	conn_leave_both(c, &g);
	return err;
}

void conn_fail(struct conn *c, int fd, const char *why)
{
	struct session *s = c->session;

	s->dead = true;
	tls_tx_fail(&s->tx.engine, -EBADMSG);
	tls_rx_fail(&s->rx.engine, -EBADMSG);
	say("the connection on descriptor %d was shut down, and the program sees EBADMSG: %s", fd,
	    why);
	if (conn_owns(c, fd))
		real.shutdown(fd, SHUT_RDWR);
}

/* ---- attach, dup, close ---- */

int conn_make(int fd, struct arena *a, struct session *s)
{
	struct lock_guard g;
	struct conn *c = NULL;
	int err = -ENOMEM;

	tube_leave(fd);
	lock_enter(&pool_lock, &g);
	if (fdtab[fd])
		err = -EEXIST;
	else if ((c = conn_new())) {
		arena_ref(a);
		*c = (struct conn){ .refs = 1, .arena = a, .session = s, .fds = 1, .tx_batch = 1 };
		c->generation = s->generation;
		__atomic_add_fetch(&conn_counter, 1, __ATOMIC_RELAXED);
		if (fd >= fd_top)
			__atomic_store_n(&fd_top, fd + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&fdtab[fd], c, __ATOMIC_SEQ_CST);
		err = 0;
	}
	lock_leave(&pool_lock, &g);
	return err;
}

int conn_attach(int fd, enum session_home home)
{
	struct arena *a = (conn_after_fork(), arena_current());
	struct session *s = NULL;
	socklen_t len = sizeof(s->cookie);
	int err;

	if ((unsigned int)fd >= FDTAB_SIZE || !a)
		return -ENOMEM;
	if (arena_self(a) < 0)
		holders_sweep(a);
	s = arena_self(a) < 0 ? NULL : arena_session_new(a);
	if (!s)
		return -ENOMEM;
	tls_tx_init(&s->tx.engine);
	tls_rx_init(&s->rx.engine);
	s->home = home;
	real.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s->cookie, &len);
	holders_add(s, arena_self(a));
	err = conn_make(fd, a, s);
	if (err)
		arena_session_free(a, s);
	return err;
}

static void set_number(int fd, struct conn *c)
{
	lock_take(&pool_lock);
	if (fd >= fd_top)
		__atomic_store_n(&fd_top, fd + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&fdtab[fd], c, __ATOMIC_SEQ_CST);
	lock_drop(&pool_lock);
}

static bool let_go(int fd, struct conn *c, struct conn *instead);

/* @fd has just become a number of @c, which may have left to the kernel meanwhile. */
static void leave_if_kernels(int fd, struct conn *c)
{
	if (__atomic_load_n(&c->is_kernels, __ATOMIC_SEQ_CST))
		let_go(fd, c, NULL);
}

void conn_add_fd(struct conn *c, int newfd)
{
	struct lock_guard g;

	if ((unsigned int)newfd >= FDTAB_SIZE || !ref_unless_free(c)) {
		conn_fail(c, newfd,
			  "its duplicate has too high a number; raise no limit above "
			  "1048576 descriptors");
		return;
	}
	lock_block_signals(&g);
	__atomic_add_fetch(&c->fds, 1, __ATOMIC_RELAXED);
	set_number(newfd, c);
	leave_if_kernels(newfd, c);
	lock_restore_signals(&g);
}

bool conn_is_last_here(struct conn *c)
{
	return conn_is_usable(c) && !holders_are_others_here(c->arena, c->session);
}

bool conn_is_only_holder(struct conn *c)
{
	return conn_is_usable(c) && !holders_are_others(c->arena, c->session);
}

void conn_before_exec(bool (*goes)(const struct conn *c))
{
	for (uint32_t i = 0; i < pool_top; i++) {
		struct conn *c = conn_at(i);

		if (c && arena_self(c->arena) >= 0 && conn_is_usable(c) && !(goes && goes(c)) &&
		    holders_are_others(c->arena, c->session))
			holders_drop(c->arena, c->session, arena_self(c->arena));
	}
}

void conn_after_exec(void)
{
	for (uint32_t i = 0; i < pool_top; i++) {
		struct conn *c = conn_at(i);

		if (c && arena_self(c->arena) >= 0 && conn_is_usable(c))
			holders_add(c->session, arena_self(c->arena));
	}
}

/* ---- sessions that move ---- */

void conn_move(struct conn *c, struct arena *a, struct session *s)
{
	c->left = c->session;
	c->left_arena = c->arena;
	__atomic_store_n(&c->arena, a, __ATOMIC_RELAXED); /* take() reads it without a lock */
	__atomic_store_n(&c->session, s, __ATOMIC_RELEASE);
}

bool conn_uses(const struct arena *a)
{
	for (uint32_t i = 0; i < pool_top; i++)
		if (conn_at(i) && conn_at(i)->arena == a)
			return true;
	return false;
}

struct conn *conn_of_session(const struct session *s)
{
	for (uint32_t i = 0; i < pool_top; i++)
		if (conn_at(i) && conn_at(i)->session == s && ref_unless_free(conn_at(i)))
			return &pool[i];
	return NULL;
}

/* ---- closing ---- */

/* Under both locks. */
static void session_release(struct conn *c)
{
	int self = arena_self(c->arena);

	if (!conn_is_usable(c) || self < 0)
		return;
	stats_conn_left(c->session);
	holders_are_others(c->arena, c->session);
	holders_drop(c->arena, c->session, self);
}

/* Under both locks. What is not to be had is not kept: the sleepers get EBADF. */
static void keep_for_sleepers(struct conn *c, int fd)
{
	int kept;

	if (!__atomic_load_n(&c->asleep, __ATOMIC_SEQ_CST) || c->fds > 1 || c->kept)
		return;
	kept = real.fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (kept < 0)
		return;
	conn_add_fd(c, kept);
	__atomic_store_n(&c->kept, kept, __ATOMIC_SEQ_CST);
}

/*
 * The number becomes @instead; with the last one goes our hold on the session.
 * False: it was not @c's any more. Signals are blocked by the caller.
 */
static bool let_go(int fd, struct conn *c, struct conn *instead)
{
	struct conn_guard g;

	if (conn_enter_both(c, fd, &g))
		return false;
	if (instead == FDTAB_MOVING && c->kept != fd)
		keep_for_sleepers(c, fd);
	set_number(fd, instead);
	if (!__atomic_sub_fetch(&c->fds, 1, __ATOMIC_RELAXED))
		session_release(c);
	conn_leave_both(c, &g);
	readiness_forget(fd);
	conn_unpin(c); /* the number's reference */
	return true;
}

void conn_unsettle(int fd, struct lock_guard *g)
{
	struct conn *c, *none;
	bool done = false;

	while (!done) {
		c = conn_pin(fd);
		if (c)
			linger_before_close(c, fd);
		lock_block_signals(g);
		none = NULL;
		__atomic_add_fetch(&moving, 1, __ATOMIC_RELAXED);
		if (c)
			done = let_go(fd, c, FDTAB_MOVING);
		else
			done = __atomic_compare_exchange_n(&fdtab[fd], &none, FDTAB_MOVING, false,
							   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
		if (c)
			conn_unpin(c);
		if (done)
			break;
		__atomic_sub_fetch(&moving, 1, __ATOMIC_RELAXED);
		lock_restore_signals(g);
	}
}

void conn_settle(int fd, struct conn *c, const struct lock_guard *g)
{
	if (c && ref_unless_free(c))
		__atomic_add_fetch(&c->fds, 1, __ATOMIC_RELAXED);
	set_number(fd, c);
	if (c)
		leave_if_kernels(fd, c);
	__atomic_sub_fetch(&moving, 1, __ATOMIC_RELAXED);
	lock_restore_signals(g);
}

void conn_leave_to_kernel(struct conn *c, int fd)
{
	struct lock_guard g;

	lock_block_signals(&g);
	__atomic_store_n(&c->is_kernels, true, __ATOMIC_SEQ_CST);
	for (; fd >= 0; fd = conn_find_fd(c))
		let_go(fd, c, NULL);
	lock_restore_signals(&g);
}

/* Closed where we could not see it: the socket may live on under other numbers. */
void conn_forget(int fd)
{
	struct lock_guard g;
	struct conn *c;

	if (__builtin_expect(!fdtab_any(fd), 1) || process_is_vfork_child())
		return;
	c = conn_pin(fd);
	if (!c)
		return;
	lock_block_signals(&g);
	let_go(fd, c, NULL);
	lock_restore_signals(&g);
	conn_unpin(c);
}

int conn_fd_end(void)
{
	return __atomic_load_n(&fd_top, __ATOMIC_RELAXED);
}

int conn_find_fd(const struct conn *c)
{
	int end = __atomic_load_n(&c->fds, __ATOMIC_RELAXED) ? conn_fd_end() : 0;

	for (int fd = 0; fd < end; fd++)
		if (conn_owns(c, fd))
			return fd;
	return -1;
}

void conn_each_fd(void (*visit)(int fd, struct conn *c))
{
	for (int fd = 0; conn_count() && fd < conn_fd_end(); fd++) {
		struct conn *c = fdtab_get(fd) ? conn_pin(fd) : NULL;

		if (!c)
			continue;
		visit(fd, c);
		conn_unpin(c);
	}
}

void conn_init(void)
{
	const char *check = getenv("TLSULP_CHECK");

	check_always = check && *check == '1';
	process_init();
	pthread_atfork(before_fork, after_fork_parent, conn_after_fork);
}
