/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The caller's memory may be bad where the kernel would say EFAULT. A guarded
 * region turns SIGSEGV and SIGBUS inside it into a jump out; it costs a few
 * instructions while the pointers are good. Signals of other threads or places
 * go to the program's own handler.
 *
 * While a guard is armed nothing that must be undone may be held by callees.
 */
#ifndef TLSULP_FAULT_H
#define TLSULP_FAULT_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Install the handlers; called when the first key is set, or the first message comes that may
 * bring descriptors. 0 or negative errno.
 */
int fault_init(void);
bool fault_is_ready(void);

extern __thread sigjmp_buf *fault_target;

/*
 * if (fault_guarded(buf)) { ... may fault ...; fault_done(); } else { it faulted }
 * Must be used in the function that owns @buf.
 */
#define fault_guarded(buf) (fault_target = &(buf), sigsetjmp(buf, 0) == 0)

static inline void fault_done(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	fault_target = NULL;
}

/* memcpy for the inside of a guarded region. */
void fault_move(void *dst, const void *src, size_t n);

/* memcpy that returns 0, or -EFAULT if either side is bad (part may be copied). */
int fault_copy(void *dst, const void *src, size_t n);

/*
 * sigaction of SIGSEGV or SIGBUS by the program, once fault_init() has taken
 * these: keeps and shows the program's own view. Returns false if @sig is not
 * ours, and the caller asks libc.
 */
bool fault_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

/* In a fork's child: another thread may have been setting a handler. */
void fault_after_fork(void);

#endif
