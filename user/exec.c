// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/exec.h"

#include "user/conn.h"
#include "user/linger.h"
#include "user/process.h"
#include "user/real.h"
#include "user/say.h"

#include <errno.h>

static bool has_key(const struct conn *c)
{
	return tls_tx_is_set(&c->session->tx.engine) || tls_rx_is_set(&c->session->rx.engine);
}

/* Descriptors that got FD_CLOEXEC here, for the case that there is no exec after all. */
#define MARKS_MAX 256
static __thread struct {
	int fd;
	uint64_t cookie; /* another thread may use the number again meanwhile */
} marked[MARKS_MAX];
static __thread unsigned int marks;

/* A vfork child may have put something else there, which the table does not know. */
static bool is_still_there(int fd, uint64_t want)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return !real.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) && cookie == want;
}

static void mark(int fd, struct conn *c)
{
	static int told;
	int flags;

	if (!has_key(c) || !is_still_there(fd, c->session->cookie))
		return;
	flags = real.fcntl(fd, F_GETFD);
	if (flags < 0 || (flags & FD_CLOEXEC))
		return;
	if (fd <= 2)
		say_once(told,
			 "the new program gets no descriptor %d: it is a TLS socket, and its "
			 "session cannot go along yet.",
			 fd);
	real.fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	if (marks < MARKS_MAX) {
		marked[marks].fd = fd;
		marked[marks++].cookie = c->session->cookie;
	}
}

static void before(void)
{
	marks = 0;
	if (!conn_count)
		return;
	if (process_is_vfork_child()) {
		conn_each_fd(mark);
		return;
	}
	linger_before_exec();
	conn_each_fd(mark);
	conn_before_exec();
}

static int after(int result)
{
	int saved = errno;

	while (marks--)
		if (is_still_there(marked[marks].fd, marked[marks].cookie))
			real.fcntl(marked[marks].fd, F_SETFD, 0);
	marks = 0;
	errno = saved;
	return result;
}

/* execve and its kin come back only if they failed. */
static int failed(int result)
{
	int saved = errno;

	if (conn_count && !process_is_vfork_child())
		conn_after_exec();
	errno = saved;
	return after(result);
}

int exec_ve(const char *path, char *const argv[], char *const envp[])
{
	before();
	return failed(real.execve(path, argv, envp));
}

int exec_vpe(const char *file, char *const argv[], char *const envp[])
{
	before();
	return failed(real.execvpe(file, argv, envp));
}

int exec_f(int fd, char *const argv[], char *const envp[])
{
	before();
	return failed(real.fexecve(fd, argv, envp));
}

int exec_at(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	before();
	return failed(real.execveat(dirfd, path, argv, envp, flags));
}

/* Other threads see the flag for a moment: they lose nothing by it. */
static void before_spawn(void)
{
	marks = 0;
	if (conn_count)
		conn_each_fd(mark);
}

int exec_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	       const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	before_spawn();
	return after(real.posix_spawn(pid, path, actions, attr, argv, envp));
}

int exec_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	before_spawn();
	return after(real.posix_spawnp(pid, file, actions, attr, argv, envp));
}

int exec_system(const char *command)
{
	before_spawn();
	return after(real.system(command));
}

FILE *exec_popen(const char *command, const char *mode)
{
	FILE *f;

	before_spawn();
	f = real.popen(command, mode);
	after(0);
	return f;
}

int exec_wordexp(const char *words, wordexp_t *expanded, int flags)
{
	before_spawn();
	return after(real.wordexp(words, expanded, flags));
}

int exec_spawn_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)
{
	static int told;
	struct conn *c = conn_pin(fd);
	bool key = c && has_key(c);

	if (c)
		conn_unpin(c);
	if (!key)
		return real.posix_spawn_file_actions_adddup2(actions, fd, newfd);
	say_once(told,
		 "descriptor %d is a TLS socket and cannot become descriptor %d of a new "
		 "program yet; posix_spawn_file_actions_adddup2 says EOPNOTSUPP.",
		 fd, newfd);
	return EOPNOTSUPP;
}
