// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * pipes PORT WAY: a pipe that feeds a TLS socket holds two bytes, as user/tube.h says, when a new
 * process gets it in this way and reads them.
 */
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <wordexp.h>

#include "peer.h"

#define TAG 1

extern char **environ;

static int fd, file, p[2];
static char command[80];

static ssize_t from_file(size_t n)
{
	return splice(file, NULL, p[1], NULL, n, 0);
}

/* Bytes in the pipe, by a system call that no preload sees. */
static int in_kernel(void)
{
	int n = -1;
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_ioctl), "D"(p[0]), "S"(FIONREAD), "d"(&n)
			 : "rcx", "r11", "memory");
	CHECK(!result);
#endif
	return n;
}

static void succeeds(pid_t child)
{
	int status;

	CHECK(child > 0 && waitpid(child, &status, 0) == child && !status);
}

static bool reads(void)
{
	char seen[4];

	return read(p[0], seen, 4) == 2 && !memcmp(seen, "lo", 2);
}

static int reads_in_clone(void *unused)
{
	return !reads();
}

static void by_clone(void)
{
	static char stack[65536];

	succeeds(clone(reads_in_clone, stack + sizeof(stack), SIGCHLD, NULL));
}

static void by_fork(void)
{
	pid_t child = fork();

	if (!child)
		_exit(!reads());
	succeeds(child);
}

static void by_forkpty(void)
{
	int master;
	pid_t child = forkpty(&master, NULL, NULL, NULL);

	if (!child)
		_exit(!reads());
	succeeds(child);
}

static void by_vfork(void)
{
	pid_t child = vfork();

	if (!child) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	succeeds(child);
}

static void by_spawn(void)
{
	char *argv[] = { "sh", "-c", command, NULL };
	pid_t child;

	CHECK(!posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ));
	succeeds(child);
}

static void by_system(void)
{
	CHECK(!system(command));
}

/* While there is no TLS socket any more; another one is for the answer. */
static void by_system_later(void)
{
	CHECK(!close(fd));
	by_system();
	fd = peer_tls(TAG + 1);
}

static void by_popen(void)
{
	FILE *f = popen(command, "r");

	CHECK(f && !pclose(f));
}

static void by_wordexp(void)
{
	wordexp_t words_of;
	char line[100];

	snprintf(line, sizeof(line), "$(head -c 2 <&%d)", p[0]);
	CHECK(!wordexp(line, &words_of, 0) && words_of.we_wordc == 1 &&
	      !strcmp(words_of.we_wordv[0], "lo"));
	wordfree(&words_of);
}

/* The program itself becomes another one. */
static void by_exec(void)
{
	snprintf(command, sizeof(command), "test \"$(head -c 2 <&%d)\" = lo && printf ok >&%d",
		 p[0], fd);
	execl("/bin/sh", "sh", "-c", command, NULL);
}

static void by_daemon(void)
{
	CHECK(!daemon(1, 1) && reads());
}

static const struct {
	const char *name;
	void (*go)(void);
} ways[] = {
	{ "clone", by_clone },
	{ "fork", by_fork },
	{ "forkpty", by_forkpty },
	{ "vfork", by_vfork },
	{ "spawn", by_spawn },
	{ "system", by_system },
	{ "popen", by_popen },
	{ "wordexp", by_wordexp },
	{ "exec", by_exec },
	{ "daemon", by_daemon },
	{ "system-later", by_system_later },
};

int main(int argc, char **argv)
{
	peer_init(argv[1]);
	fd = peer_tls(TAG);
	file = memfd_create("file", MFD_CLOEXEC);
	CHECK(file >= 0 && write(file, "hello", 5) == 5 && !lseek(file, 0, SEEK_SET) && !pipe(p));
	CHECK(p[0] < 10); /* for the shell */
	snprintf(command, sizeof(command), "test \"$(head -c 2 <&%d)\" = lo", p[0]);
	CHECK(from_file(3) == 3 && splice(p[0], NULL, fd, NULL, 3, 0) == 3);
	CHECK(from_file(2) == 2 && in_kernel() <= 0);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(ways[i].name, argv[2]))
			continue;
		ways[i].go();
		CHECK(write(fd, "ok", 2) == 2);
		return 0;
	}
	die("%s is no way", argv[2]);
}
