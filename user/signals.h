/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The program's signal handlers. They may not run while this thread is in the
 * midst of a change (lock.h): a handler that comes then is put off to the end,
 * which costs nothing where none comes. Also known here is whether one ran that
 * does not restart calls.
 *
 * For this the handlers that the program sets stand behind one of ours; the
 * program sees its own. Where that cannot be (the library is linked as an archive,
 * and libc's names are not taken over; handlers of queued signals, which come in
 * order; asynchronous cancellation) nothing is put off, and lock.c has the kernel block
 * signals.
 */
#ifndef TLSULP_SIGNALS_H
#define TLSULP_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* From the constructor, where sigaction() and its kin come here. */
void signals_init(void);

/* In a fork's child: another thread may have been setting one. */
void signals_after_fork(void);

/*
 * From begin to end no handler runs in this thread, unless a fault calls it.
 * False: not possible here. Nests.
 */
struct signals_thread {
	volatile uint32_t depth; /* of begun changes */
	volatile bool came; /* a signal: all are blocked, and @mask is to be restored */
	uint64_t mask;
	volatile uint32_t interrupts; /* handlers that ran without SA_RESTART */
};

extern __thread struct signals_thread signals_thread;
extern bool signals_can_wait;

/* Do handlers stand behind ours, and are libc's names ours? */
static inline bool signals_are_seen(void)
{
	return __atomic_load_n(&signals_can_wait, __ATOMIC_RELAXED);
}

static inline bool signals_begin(void)
{
	if (__builtin_expect(!signals_are_seen(), 0))
		return false;
	signals_thread.depth++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}

void signals_let_go(void);

static inline void signals_end(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!--signals_thread.depth && __builtin_expect(signals_thread.came, 0))
		signals_let_go();
}

/*
 * Has a handler without SA_RESTART run in this thread since signals_interrupts()
 * was @before? *@known false: that cannot be told.
 */
uint32_t signals_interrupts(void);
bool signals_interrupted(uint32_t before, bool *known);

/* All signals but those that a fault of this thread raises (kernel's layout). */
uint64_t signals_all(void);

/* libc's calls. */
int signals_sigaction(int sig, const struct sigaction *act, struct sigaction *old);
sighandler_t signals_signal(int sig, sighandler_t handler);
sighandler_t signals_sysv_signal(int sig, sighandler_t handler);
sighandler_t signals_sigset(int sig, sighandler_t handler);
int signals_siginterrupt(int sig, int on);
int signals_setcanceltype(int type, int *old);

/* rt_sigaction(2) was called past us: from now on the kernel blocks signals for us. */
void signals_give_up(void);

#endif
