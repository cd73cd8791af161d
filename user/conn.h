/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection: this process's hold on a session. One per session and process;
 * each descriptor number in fdtab has a reference, each call under way another.
 * Conns lie in memory that is never given back, so a number that is closed and
 * used again under a call finds a live or a dead conn, never other memory.
 *
 * The rule that keeps bytes of one connection out of another: whatever writes
 * to, or consumes from, a descriptor does so with the session's tx or rx lock
 * held, after conn_owns() said that the number is still this connection's; and
 * whatever takes the number away holds both locks while it does.
 */
#ifndef TLSULP_CONN_H
#define TLSULP_CONN_H

#include "user/aead/aead.h"
#include "user/arena.h"
#include "user/fdtab.h"
#include "user/lock.h"
#include "user/pace.h"
#include "user/patience.h"
#include "user/session.h"

struct conn {
	uint32_t refs; /* numbers in fdtab and calls under way */
	uint32_t next_free; /* index + 1 */
	struct arena *arena;
	struct session *session;
	uint32_t generation; /* the session's, when we took hold */
	uint32_t fds; /* numbers in fdtab */
	struct aead_key *tx_key, *rx_key; /* under tx_lock, rx_lock */
	uint32_t tx_key_gen, rx_key_gen;
	uint32_t tx_batch; /* records per write that the socket took last, under tx_lock */
	struct pace pace; /* of the stream that comes, under rx_lock */
	struct patience patience; /* of sends */
	bool lingering; /* the linger thread knows of it */
	uint32_t asleep; /* calls that sleep or have slept (asleep.h) */
	int kept; /* the number that its socket has for them, once the program has none; 0: none */
	const void *spawned; /* the posix_spawn_file_actions_t that name it, if any */
	/* Where the session was before it moved: calls under way may still look there. */
	struct arena *left_arena;
	struct session *left;
	bool is_kernels; /* it takes no numbers any more */
};

/* Pin the connection of @fd, or NULL: not one of ours. Pair with conn_unpin(). */
struct conn *conn_pin(int fd);
void conn_unpin(struct conn *c);
/* Once more what is pinned. */
void conn_pin_again(struct conn *c);

/* Is @fd still a number of @c? Ask under tx_lock or rx_lock. */
static inline bool conn_owns(const struct conn *c, int fd)
{
	return fdtab_get(fd) == c;
}

/* Its session, where no lock keeps that from moving. */
static inline struct session *conn_session(const struct conn *c)
{
	return __atomic_load_n(&c->session, __ATOMIC_ACQUIRE);
}

static inline bool conn_has_key(const struct conn *c)
{
	const struct session *s = conn_session(c);

	return tls_tx_is_set(&s->tx.engine) || tls_rx_is_set(&s->rx.engine);
}

/* Signals blocked and tx_lock or rx_lock held. */
struct conn_guard {
	struct lock_guard signals;
};

/*
 * Enter the tx or rx side of @fd: 0, -EBADF (the number was closed or is
 * another's meanwhile), or -EBADMSG (the session failed closed). On an error
 * nothing is held.
 */
int conn_enter_tx(struct conn *c, int fd, struct conn_guard *g);
void conn_leave_tx(struct conn *c, struct conn_guard *g);
int conn_enter_rx(struct conn *c, int fd, struct conn_guard *g);
void conn_leave_rx(struct conn *c, struct conn_guard *g);

/* Both sides, tx first; 0 even if the session failed or is gone (closing goes on), else -EBADF. */
int conn_enter_both(struct conn *c, int fd, struct conn_guard *g);
/* Both sides of a session that is good, as conn_enter_tx(). */
int conn_enter_options(struct conn *c, int fd, struct conn_guard *g);
void conn_leave_both(struct conn *c, struct conn_guard *g);

/* Is the session that @c took hold of still there? Under a lock. */
bool conn_is_usable(const struct conn *c);

/*
 * The session's key schedules in this process, made anew where another process
 * set a key. Under tx_lock (rx_lock). 0 or -EIO, -ENOMEM.
 */
int conn_tx_key(struct conn *c);
int conn_rx_key(struct conn *c);

/* Both, of a session that came from elsewhere; no lock is held. 0 or as conn_enter_tx(). */
int conn_make_keys(struct conn *c, int fd);

/* Fail the session closed, say @why on stderr, and break the socket. Under a lock. */
void conn_fail(struct conn *c, int fd, const char *why);

/* A new session on @fd (connected TCP). 0, -ENOMEM, -EEXIST. */
int conn_attach(int fd, enum session_home home);

/*
 * The kernel's ULP serves the session of @fd now: all its numbers in this process
 * become libc's. Other processes that share it do the same when they next use it.
 * Without locks.
 */
void conn_leave_to_kernel(struct conn *c, int fd);

/*
 * Has the kernel's ULP taken the session, in whichever process? Never one that
 * has a key here, whatever was written over its memory.
 */
static inline bool conn_is_kernels(const struct conn *c)
{
	const struct session *s = c->session;

	return __builtin_expect(s->home == SESSION_KERNEL, 0) && conn_is_usable(c) &&
	       !tls_tx_is_set(&s->tx.engine) && !tls_rx_is_set(&s->rx.engine);
}

/* @newfd is now another number of @c (dup). */
void conn_add_fd(struct conn *c, int newfd);

/*
 * The number @fd is about to be closed or replaced. Lets go of the connection it
 * has, if any (with its last number of the session, after flushing what is to be
 * sent), and makes calls on the number wait until conn_settle() says what it is
 * now: @c's, or nobody's (NULL). Signals are blocked in between.
 */
void conn_unsettle(int fd, struct lock_guard *g);
void conn_settle(int fd, struct conn *c, const struct lock_guard *g);

/* @fd was just returned by the kernel as a new descriptor: whatever stood there is gone. */
void conn_forget(int fd);

/* Is this process the session's only living holder? */
bool conn_is_only_holder(struct conn *c);
/* Its last one, unless the program comes that it is on its way to? */
bool conn_is_last_here(struct conn *c);

/* Any number of @c, or -1. */
int conn_find_fd(const struct conn *c);

/* One more than the largest number that ever was in fdtab. */
int conn_fd_end(void);

/* Visit each descriptor that has a session, in ascending order. */
void conn_each_fd(void (*visit)(int fd, struct conn *c));

/* Number of live conns in this process: 0 lets slow paths be skipped. */
extern uint32_t conn_counter;

static inline uint32_t conn_count(void)
{
	return __atomic_load_n(&conn_counter, __ATOMIC_RELAXED);
}

/* For handover.c: both sides, whatever the number is; unlock the session that was locked. */
struct session *conn_lock(struct conn *c, struct conn_guard *g);
void conn_unlock(struct session *s, struct conn_guard *g);
/* The number @fd is from now on a conn's of @s. 0, -ENOMEM, -EEXIST. */
int conn_make(int fd, struct arena *a, struct session *s);
/* The session is from now on @s, in @a. Under both locks. */
void conn_move(struct conn *c, struct arena *a, struct session *s);
/* Is there a conn in @a? That of @s, pinned, or NULL. */
bool conn_uses(const struct arena *a);
struct conn *conn_of_session(const struct session *s);

/*
 * exec closes the sockets that do not go along (@goes, NULL: none does): other
 * holders must not wait for this process. Where it is the only holder all stays as it
 * is, for the exec may fail; if it does, conn_after_exec() takes hold again.
 */
void conn_before_exec(bool (*goes)(const struct conn *c));
void conn_after_exec(void);

/*
 * Forks: prepare counts the child in, child makes itself known. Where no atfork
 * handler ran, whoever is about to make a conn asks whether this is a new process.
 */
void conn_init(void);
void conn_after_fork(void);

#endif
