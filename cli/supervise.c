// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/report.h"
#include "cli/rundir.h"
#include "cli/tree.h"

static const int forwarded[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,  SIGUSR1, SIGUSR2,
				 SIGALRM, SIGCONT, SIGPIPE, SIGWINCH, SIGIO,   SIGPWR };

struct mask {
	sigset_t watched, old;
	struct sigaction old_chld;
};

/* Blocked and taken with sigwaitinfo(): no handler, and none is lost before the fork. */
static void watch(struct mask *m)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigemptyset(&m->watched);
	sigaddset(&m->watched, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&m->watched, forwarded[i]);
	sigprocmask(SIG_BLOCK, &m->watched, &m->old);
	sigaction(SIGCHLD, &dfl, &m->old_chld);
}

static void unwatch(const struct mask *m)
{
	sigaction(SIGCHLD, &m->old_chld, NULL);
	sigprocmask(SIG_SETMASK, &m->old, NULL);
}

static bool has_ended(pid_t child)
{
	siginfo_t info = { 0 };

	/* It stays a zombie, so that nobody sweeps its file before it was read. */
	return waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == child;
}

static void wait_for(pid_t child, const struct mask *m)
{
	siginfo_t info;

	while (!has_ended(child)) {
		if (sigwaitinfo(&m->watched, &info) < 0 || info.si_signo == SIGCHLD)
			continue;
		/* The terminal sends to the whole process group: the child has that already. */
		if (info.si_code != SI_KERNEL)
			kill(child, info.si_signo);
	}
}

static void print_and_remove(const char *path)
{
	struct stat_region *region;

	if (!path[0])
		return;
	if (tree_read(AT_FDCWD, path, geteuid(), &region) < 0) {
		say("the statistics file %s is gone or damaged, so there are no counters to show: "
		    "look whether something cleans that directory",
		    path);
		return;
	}
	report_counters(stderr, region);
	report_connections(stderr, region);
	/* The program, a zombie, counts as alive; what matters here is the rest of its tree. */
	tree_forget(region, region->root_pid);
	if (!tree_alive(region))
		unlink(path);
	free(region);
}

static int die_like(int status)
{
	struct rlimit no_core = { 0, 0 };
	sigset_t one;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &no_core); /* the program's own core dump is the one to read */
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

int supervise(int (*start)(void *arg), void *arg)
{
	char path[PATH_MAX];
	struct mask m;
	pid_t child;
	int status;

	watch(&m);
	child = fork();
	if (child < 0) {
		say("cannot fork: %s; end other programs or raise the limit (ulimit -u)",
		    strerror(errno));
		return EXIT_CANNOT_START;
	}
	if (child == 0) {
		unwatch(&m);
		_exit(start(arg));
	}
	wait_for(child, &m);
	rundir_stat_path(child, path, sizeof(path));
	print_and_remove(path);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_CANNOT_START;
	}
	return die_like(status);
}
