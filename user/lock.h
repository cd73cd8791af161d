/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Short locks that live in shared memory. They are never held while waiting
 * for the network. A holder runs with handlers kept off and never calls a
 * cancellation point, so only its death can end it in between; the next one who wants
 * the lock is then told so, once.
 *
 * A thread's id and not glibc's robust mutex marks the owner, because a child
 * of raw clone3() has a stale thread id and no robust list.
 *
 * Lock order: tx, then rx, then the private locks (arena, conn pool).
 */
#ifndef TLSULP_LOCK_H
#define TLSULP_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

struct lock {
	uint32_t word; /* 0: free; else the owner's tid, with LOCK_WAITERS if somebody sleeps */
};

/* How signals were before. */
struct lock_guard {
	bool masked; /* by the kernel; else put off by signals.c */
	uint64_t mask;
};

/*
 * No handler of the program runs in between. lock_mask_signals() also keeps off those
 * that would end the process: it would leave a lock behind to others.
 */
void lock_block_signals(struct lock_guard *g);
void lock_mask_signals(struct lock_guard *g);
void lock_restore_signals(const struct lock_guard *g);

/*
 * Take the lock. Returns 0, or -EOWNERDEAD: the last holder died inside; the
 * lock is taken all the same, and what it protects may be half changed.
 */
int lock_take(struct lock *l);

/*
 * The same where others write the memory: of a thread that may not own the lock it is
 * as dead, which is asked like its death. With @patience_ms (0: none) the
 * result may be -ETIMEDOUT: the lock is not taken.
 */
struct lock_owners {
	bool (*may_own)(struct arena *a, pid_t tid); /* NULL: all may */
	struct arena *arena;
	int patience_ms;
};

int lock_take_from(struct lock *l, const struct lock_owners *o);
void lock_drop(struct lock *l);

/* Signals blocked and the lock taken; for locks that are private to the process. */
void lock_enter(struct lock *l, struct lock_guard *g);
void lock_leave(struct lock *l, const struct lock_guard *g);

#endif
