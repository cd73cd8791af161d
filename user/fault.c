// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/fault.h"

#include "user/lock.h"
#include "user/real.h"

#include <errno.h>
#include <string.h>

__thread sigjmp_buf *fault_target;

static struct lock handlers_lock;
static bool installed;
static struct sigaction program_action[2]; /* of SIGSEGV, SIGBUS */

static int slot(int sig)
{
	return sig == SIGSEGV ? 0 : sig == SIGBUS ? 1 : -1;
}

/* Do what the kernel would have done with the program's own action. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	struct sigaction act = program_action[slot(sig)];

	pthread_sigmask(SIG_BLOCK, &act.sa_mask, NULL);
	if (act.sa_flags & SA_RESETHAND)
		program_action[slot(sig)].sa_handler = SIG_DFL;
	if (act.sa_flags & SA_SIGINFO) {
		act.sa_sigaction(sig, info, context);
	} else if (act.sa_handler == SIG_DFL || (act.sa_handler == SIG_IGN && info->si_code > 0)) {
		real.signal(sig,
			    SIG_DFL); /* a fault runs into it again; a sent signal is sent again */
		if (info->si_code <= 0)
			raise(sig);
	} else if (act.sa_handler != SIG_IGN) {
		act.sa_handler(sig);
	}
}

static void handler(int sig, siginfo_t *info, void *context)
{
	sigjmp_buf *target = fault_target;

	if (target && info->si_code > 0) {
		sigset_t set;

		fault_target = NULL;
		/* The handler ran with its signal blocked and the jump does not restore that. */
		sigemptyset(&set);
		sigaddset(&set, sig);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		siglongjmp(*target, 1);
	}
	pass_on(sig, info, context);
}

bool fault_is_ready(void)
{
	return __atomic_load_n(&installed, __ATOMIC_ACQUIRE);
}

int fault_init(void)
{
	struct sigaction act = { .sa_sigaction = handler,
				 .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	struct lock_guard g;
	int err = 0;

	if (fault_is_ready())
		return 0;
	lock_enter(&handlers_lock, &g);
	if (!installed) {
		sigemptyset(&act.sa_mask);
		if (real.sigaction(SIGSEGV, &act, &program_action[0]) ||
		    real.sigaction(SIGBUS, &act, &program_action[1]))
			err = -errno;
		else
			__atomic_store_n(&installed, true, __ATOMIC_RELEASE);
	}
	lock_leave(&handlers_lock, &g);
	return err;
}

void fault_after_fork(void)
{
	handlers_lock = (struct lock){ 0 };
}

/* ASan's memcpy would report the bad pointer instead of running into it. */
void fault_move(void *dst, const void *src, size_t n)
{
#if defined(__SANITIZE_ADDRESS__) && defined(__x86_64__)
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
#else
	memcpy(dst, src, n);
#endif
}

int fault_copy(void *dst, const void *src, size_t n)
{
	sigjmp_buf buf;

	if (!fault_guarded(buf))
		return -EFAULT;
	fault_move(dst, src, n);
	fault_done();
	return 0;
}

bool fault_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int i = slot(sig);
	struct lock_guard g;

	if (i < 0 || !fault_is_ready())
		return false;
	lock_enter(&handlers_lock, &g);
	if (old)
		*old = program_action[i];
	if (act)
		program_action[i] = *act;
	lock_leave(&handlers_lock, &g);
	return true;
}
