// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/lock.h"

#include "user/process.h"
#include "user/real.h"
#include "user/signals.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#define LOCK_WAITERS 0x80000000u
#define LOCK_SPINS 64
/* Long enough that no living holder, however starved, is asked for its pid. */
#define LOCK_SUSPECT_NS 500000000l

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

void lock_mask_signals(struct lock_guard *g)
{
	uint64_t all = signals_all();

	g->masked = true;
	sys_call(SYS_rt_sigprocmask, SIG_BLOCK, &all, &g->mask, sizeof(all));
}

void lock_block_signals(struct lock_guard *g)
{
	g->masked = false;
	if (!signals_begin())
		lock_mask_signals(g);
}

void lock_restore_signals(const struct lock_guard *g)
{
	int saved = errno;

	if (!g->masked) {
		signals_end();
		return;
	}
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &g->mask, NULL, sizeof(g->mask));
	errno = saved;
}

static bool try_take(struct lock *l, uint32_t tid)
{
	uint32_t free = 0;

	return __atomic_compare_exchange_n(&l->word, &free, tid, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* Who has the lock is believed to be in the midst of what it protects. */
static bool is_owner(const struct lock_owners *o, uint32_t word)
{
	pid_t tid = word & ~LOCK_WAITERS;

	return process_thread_alive(tid) && (!o || !o->may_own || o->may_own(o->arena, tid));
}

/* Sleep until the word may have changed. Returns false if that took suspiciously long. */
static bool wait_for_change(struct lock *l, uint32_t word)
{
	struct timespec ts = { 0, LOCK_SUSPECT_NS };

	if (!(word & LOCK_WAITERS)) {
		if (!__atomic_compare_exchange_n(&l->word, &word, word | LOCK_WAITERS, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
		word |= LOCK_WAITERS;
	}
	return sys_call(SYS_futex, &l->word, FUTEX_WAIT, word, &ts, NULL, 0) == 0 ||
	       errno != ETIMEDOUT;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/*
 * How long one has waited. A look that took longer than its sleep counts as one: this
 * process was stopped itself, and the owner perhaps with it.
 */
static int64_t count_wait(int64_t *last)
{
	int64_t now = now_ns(), waited = now - *last;

	*last = now;
	return waited < LOCK_SUSPECT_NS ? waited : LOCK_SUSPECT_NS;
}

int lock_take_from(struct lock *l, const struct lock_owners *o)
{
	int64_t left = o ? o->patience_ms * 1000000ll : 0, last = 0;
	uint32_t tid = process_tid();
	uint32_t word;

	for (int i = 0; i < LOCK_SPINS; i++) {
		if (try_take(l, tid))
			return 0;
		cpu_relax();
	}
	for (;;) {
		word = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
		if (!word) {
			/* Others may sleep too: keep their mark so that drop wakes one. */
			if (try_take(l, tid | LOCK_WAITERS))
				return 0;
			continue;
		}
		if (left && !last)
			last = now_ns();
		else if (left && (left -= count_wait(&last)) <= 0)
			return -ETIMEDOUT;
		if (wait_for_change(l, word))
			continue;
		word = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
		if (word && !is_owner(o, word) &&
		    __atomic_compare_exchange_n(&l->word, &word, tid | LOCK_WAITERS, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return -EOWNERDEAD;
	}
}

int lock_take(struct lock *l)
{
	return lock_take_from(l, NULL);
}

void lock_drop(struct lock *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) & LOCK_WAITERS)
		sys_call(SYS_futex, &l->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void lock_enter(struct lock *l, struct lock_guard *g)
{
	lock_block_signals(g);
	lock_take(l);
}

void lock_leave(struct lock *l, const struct lock_guard *g)
{
	lock_drop(l);
	lock_restore_signals(g);
}
