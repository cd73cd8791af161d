// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * system(3): libc's starts its shell out of sight, and what exec.c changes for
 * the shell must not last as long as that runs.
 */
#include "user/exec.h"

#include "user/lock.h"
#include "user/real.h"
#include "user/tube.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* SIGINT and SIGQUIT are ignored while any thread is in here. */
static struct lock ignore_lock;
static unsigned int ignorers;
static struct sigaction interrupt, quit;

struct shell {
	pid_t pid;
	sigset_t mask; /* the caller's */
};

static void ignore(void)
{
	struct sigaction act = { .sa_handler = SIG_IGN };
	struct lock_guard g;

	lock_enter(&ignore_lock, &g);
	if (!ignorers++) {
		real.sigaction(SIGINT, &act, &interrupt);
		real.sigaction(SIGQUIT, &act, &quit);
	}
	lock_leave(&ignore_lock, &g);
}

static void heed(void)
{
	struct lock_guard g;

	lock_enter(&ignore_lock, &g);
	if (!--ignorers) {
		real.sigaction(SIGINT, &interrupt, NULL);
		real.sigaction(SIGQUIT, &quit, NULL);
	}
	lock_leave(&ignore_lock, &g);
}

void exec_system_after_fork(void)
{
	ignore_lock = (struct lock){ 0 };
}

static void begin(struct shell *s)
{
	sigset_t child;

	ignore();
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &child, &s->mask);
}

static void end(struct shell *s)
{
	heed();
	pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

/* The thread is cancelled while it waits. */
static void kill_shell(void *p)
{
	struct shell *s = p;

	kill(s->pid, SIGKILL);
	while (sys_call(SYS_wait4, s->pid, NULL, 0, NULL) < 0 && errno == EINTR)
		;
	end(s);
}

static int wait_for(struct shell *s)
{
	int status;
	pid_t got;

	pthread_cleanup_push(kill_shell, s);
	do
		got = waitpid(s->pid, &status, 0);
	while (got < 0 && errno == EINTR);
	pthread_cleanup_pop(0);
	return got == s->pid ? status : -1;
}

/* The shell has signals as the caller had them. */
static int start(struct shell *s, const char *command)
{
	char *argv[] = { "sh", "-c", "--", (char *)command, NULL };
	posix_spawnattr_t attr;
	sigset_t heeded;
	int err;

	sigemptyset(&heeded);
	if (interrupt.sa_handler != SIG_IGN)
		sigaddset(&heeded, SIGINT);
	if (quit.sa_handler != SIG_IGN)
		sigaddset(&heeded, SIGQUIT);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &s->mask);
	posix_spawnattr_setsigdefault(&attr, &heeded);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	err = exec_spawn(real.posix_spawn, &s->pid, "/bin/sh", NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return err;
}

int exec_system(const char *command)
{
	struct shell s;
	int status, err;

	tube_leave_all(); /* the shell may have the other end of a pipe */
	if (!command || !conn_count())
		return real.system(command);
	begin(&s);
	err = start(&s, command);
	status = err ? W_EXITCODE(127, 0) : wait_for(&s);
	end(&s);
	if (err)
		errno = err;
	return status;
}
