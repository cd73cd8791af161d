// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/signals.h"

#include "user/fault.h"
#include "user/lock.h"
#include "user/process.h"
#include "user/real.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define SIGNALS 32 /* the standard ones */
#define BIT(sig) (1ull << ((sig)-1))
#define FAULTS                                                                                     \
	(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) |    \
	 BIT(SIGSYS))

__thread struct signals_thread signals_thread;
bool signals_can_wait;

/* What the program has set; the kernel has ours(), and flags but for these. */
static struct {
	sighandler_t handler;
	int flags;
	bool interrupts; /* siginterrupt(3) */
} program[SIGNALS];
static struct lock program_lock;

#define OWN_FLAGS (SA_SIGINFO | SA_RESETHAND)

uint64_t signals_all(void)
{
	return ~FAULTS;
}

static bool is_function(sighandler_t handler)
{
	return handler != SIG_DFL && handler != SIG_IGN;
}

/* A fault comes where it comes; its handler stands behind fault.c's, or before all. */
static bool can_stand_behind(int sig)
{
	return sig > 0 && sig < SIGNALS && !(FAULTS & BIT(sig)) && sig != SIGKILL && sig != SIGSTOP;
}

/* ---- a signal comes ---- */

/* Again, once this thread has all signals as they were. */
static void put_off(struct signals_thread *t, int sig, siginfo_t *info, ucontext_t *context)
{
	uint64_t all = signals_all();
	int saved = errno;

	sys_call(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof(all));
	if (!t->came)
		memcpy(&t->mask, &context->uc_sigmask, sizeof(t->mask));
	t->came = true;
	memcpy(&context->uc_sigmask, &all, sizeof(all));
	if (sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid), sys_call(SYS_gettid), sig, info))
		sys_call(SYS_tgkill, sys_call(SYS_getpid), sys_call(SYS_gettid), sig);
	errno = saved;
}

static void call(sighandler_t handler, int flags, int sig, siginfo_t *info, void *context)
{
	struct sigaction act = { .sa_handler = handler };

	if (flags & SA_SIGINFO)
		act.sa_sigaction(sig, info, context);
	else
		handler(sig);
}

static void ours(int sig, siginfo_t *info, void *context)
{
	struct signals_thread *t = &signals_thread;
	sighandler_t handler = __atomic_load_n(&program[sig].handler, __ATOMIC_ACQUIRE);
	int flags = __atomic_load_n(&program[sig].flags, __ATOMIC_RELAXED);

	if (t->depth) {
		put_off(t, sig, info, context);
		return;
	}
	if (!(flags & SA_RESTART))
		t->interrupts++;
	if (flags & SA_RESETHAND)
		real.sigaction(sig, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	if (!is_function(handler))
		return; /* it was set back in this moment */
	call(handler, flags, sig, info, context);
}

void signals_let_go(void)
{
	struct signals_thread *t = &signals_thread;
	uint64_t mask = t->mask;
	int saved = errno;

	t->came = false;
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	errno = saved;
}

uint32_t signals_interrupts(void)
{
	return signals_thread.interrupts;
}

bool signals_interrupted(uint32_t before, bool *known)
{
	*known = signals_are_seen();
	return signals_thread.interrupts != before;
}

/* ---- the program sets one ---- */

/* What the kernel is to have for it. */
static struct sigaction behind(const struct sigaction *act)
{
	struct sigaction kernels = *act;

	if (!is_function(act->sa_handler))
		return kernels;
	kernels.sa_sigaction = ours;
	kernels.sa_flags = (act->sa_flags & ~SA_RESETHAND) | SA_SIGINFO;
	return kernels;
}

static void show(int sig, struct sigaction *old)
{
	if (old->sa_sigaction != ours)
		return;
	old->sa_handler = program[sig].handler;
	old->sa_flags = (old->sa_flags & ~OWN_FLAGS) | (program[sig].flags & OWN_FLAGS);
}

static void keep(int sig, sighandler_t handler, int flags)
{
	__atomic_store_n(&program[sig].flags, flags, __ATOMIC_RELAXED);
	__atomic_store_n(&program[sig].handler, handler, __ATOMIC_RELEASE);
}

/* The table is right before the kernel may call ours(). */
static int set(int sig, const struct sigaction *act, struct sigaction *old)
{
	sighandler_t handler = program[sig].handler;
	int flags = program[sig].flags, err;
	struct sigaction kernels = behind(act), was;

	if (is_function(act->sa_handler))
		keep(sig, act->sa_handler, act->sa_flags);
	err = real.sigaction(sig, &kernels, &was);
	if (!err && was.sa_sigaction == ours) {
		was.sa_handler = handler;
		was.sa_flags = (was.sa_flags & ~OWN_FLAGS) | (flags & OWN_FLAGS);
	} else if (err) {
		keep(sig, handler, flags);
	}
	if (!err && old)
		*old = was;
	return err;
}

/* A vfork child's handlers are its own, the table is its parent's. */
int signals_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction copy;
	struct lock_guard g;
	int err;

	if (fault_sigaction(sig, act, old))
		return 0;
	/* Queued signals come in order: one that is put off would come last. */
	if (sig >= SIGNALS && act && is_function(act->sa_handler))
		signals_give_up();
	if (!can_stand_behind(sig) || (act && process_is_vfork_child()))
		return real.sigaction(sig, act, old);
	if (act)
		copy = *act; /* both may be the same struct */
	lock_enter(&program_lock, &g);
	err = act ? set(sig, &copy, old) : real.sigaction(sig, NULL, old);
	if (!act && !err && old)
		show(sig, old);
	lock_leave(&program_lock, &g);
	return err;
}

static sighandler_t set_simply(int sig, sighandler_t handler, int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&act.sa_mask);
	if (sig < 1 || sig >= NSIG || handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	return signals_sigaction(sig, &act, &act) ? SIG_ERR : act.sa_handler;
}

sighandler_t signals_signal(int sig, sighandler_t handler)
{
	bool interrupts = sig > 0 && sig < SIGNALS && program[sig].interrupts;

	return set_simply(sig, handler, interrupts ? 0 : SA_RESTART);
}

sighandler_t signals_sysv_signal(int sig, sighandler_t handler)
{
	return set_simply(sig, handler, SA_RESETHAND | SA_NODEFER);
}

/* sigset(3) */
sighandler_t signals_sigset(int sig, sighandler_t handler)
{
	struct sigaction act;
	sigset_t one, before;
	sighandler_t old;

	sigemptyset(&one);
	if (sigaddset(&one, sig))
		return SIG_ERR;
	if (handler == SIG_HOLD) {
		if (sigprocmask(SIG_BLOCK, &one, &before) || signals_sigaction(sig, NULL, &act))
			return SIG_ERR;
		return sigismember(&before, sig) ? SIG_HOLD : act.sa_handler;
	}
	old = set_simply(sig, handler, 0);
	if (old == SIG_ERR || sigprocmask(SIG_UNBLOCK, &one, &before))
		return SIG_ERR;
	return sigismember(&before, sig) ? SIG_HOLD : old;
}

int signals_siginterrupt(int sig, int on)
{
	struct sigaction act;

	if (signals_sigaction(sig, NULL, &act))
		return -1;
	act.sa_flags = on ? act.sa_flags & ~SA_RESTART : act.sa_flags | SA_RESTART;
	if (can_stand_behind(sig))
		program[sig].interrupts = on;
	return signals_sigaction(sig, &act, NULL);
}

/* ---- where it is not possible ---- */

void signals_give_up(void)
{
	__atomic_store_n(&signals_can_wait, false, __ATOMIC_RELAXED);
}

/* The signal that cancels a thread at any instruction is libc's own. */
int signals_setcanceltype(int type, int *old)
{
	if (type == PTHREAD_CANCEL_ASYNCHRONOUS)
		signals_give_up();
	return real.pthread_setcanceltype(type, old);
}

void signals_after_fork(void)
{
	program_lock = (struct lock){ 0 };
}

/* Also for those that were set before anybody asked us. */
void signals_init(void)
{
	signals_can_wait = true;
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction act;

		if (!real.sigaction(sig, NULL, &act) && is_function(act.sa_handler) &&
		    act.sa_sigaction != ours)
			signals_sigaction(sig, &act, NULL);
	}
}
