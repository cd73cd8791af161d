// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/exec.h"

#include "user/handover.h"
#include "user/linger.h"
#include "user/loader.h"
#include "user/parcel.h"
#include "user/process.h"
#include "user/real.h"
#include "user/say.h"
#include "user/tube.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* What was changed for the new program, and is put back if there is none after all. */
#define GOING_FEW 64
#define MARKS_MAX 256
#define COPIES_MAX 16

struct going {
	struct conn *conn;
	bool pinned;
	int way; /* the slot of a program that runs beside this one; -1: this becomes it */
};

/*
 * A thread's notes while a program is made ready, mapped then: no malloc(), which a vfork child
 * must not call, and little of a thread's own memory, of which dlopen() has not much to give.
 */
struct notes {
	struct going few[GOING_FEW];
	/* Descriptors that got FD_CLOEXEC here. */
	struct {
		int fd;
		uint64_t cookie; /* another thread may use the number again meanwhile */
	} marked[MARKS_MAX];
	/* Duplicates that a vfork child of this thread made. */
	struct {
		pid_t pid;
		int fd;
		struct conn *conn;
	} copied[COPIES_MAX];
};

static __thread struct notes *notes; /* NULL: there are none */
static __thread struct going *many; /* NULL: the few are enough */
static __thread unsigned int going_room = GOING_FEW;
static __thread unsigned int goings, marks, copies;

static bool have_notes(void)
{
	void *p;

	if (notes)
		return true;
	p = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	notes = p;
	return true;
}

static void end_notes(void)
{
	if (!notes || copies)
		return;
	munmap(notes, sizeof(*notes));
	notes = NULL;
}

static struct going *list(void)
{
	return many ? many : notes->few;
}

/* How the call under way looks at it. */
static __thread struct {
	bool loads; /* the new program has this library */
	bool beside; /* it runs beside this one */
	const void *actions; /* of posix_spawn */
	bool refused; /* they name a session that cannot go */
} now;

/*
 * Descriptors' flags are all threads': one program at a time is made ready. A
 * handler that comes meanwhile finds its thread inside. Signals are not held off, for
 * the new program would have them blocked.
 */
static struct lock one_lock;
static __thread unsigned int inside;

bool exec_begin(void)
{
	struct lock_guard g;

	/* A vfork child has flags of its own. */
	if (!conn_count() || process_is_vfork_child())
		return false;
	lock_block_signals(&g);
	if (!inside++)
		lock_take(&one_lock);
	lock_restore_signals(&g);
	return true;
}

void exec_end(bool begun)
{
	struct lock_guard g;

	if (!begun)
		return;
	lock_block_signals(&g);
	if (inside && !--inside)
		lock_drop(&one_lock);
	lock_restore_signals(&g);
}

void exec_after_fork(void)
{
	one_lock = (struct lock){ 0 };
	inside = 0;
}

static bool goes(const struct conn *c)
{
	for (unsigned int i = 0; i < goings; i++)
		if (list()[i].conn == c)
			return true;
	return false;
}

static bool make_room(void)
{
	size_t size = going_room * sizeof(*many);
	void *more;

	if (!have_notes())
		return false;
	if (goings < going_room)
		return true;
	more = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (more == MAP_FAILED)
		return false;
	memcpy(more, list(), size);
	if (many)
		munmap(many, size);
	many = more;
	going_room *= 2;
	return true;
}

/* Its parcel goes along: true. */
static bool send_along(struct conn *c)
{
	bool pinned;
	int way = -1, fd;

	if (goes(c))
		return true;
	if (!now.loads || !make_room() || handover_pack(c))
		return false;
	fd = parcel_fd(arena_parcel(c->arena));
	if (fd >= 0 && now.beside)
		way = handover_reserve(c);
	if (fd < 0 || (now.beside && way < 0))
		return false;
	real.fcntl(fd, F_SETFD, 0);
	/* Other threads may close it meanwhile. A vfork child that runs its program lets go of
	 * nothing. */
	pinned = !process_is_vfork_child();
	if (pinned)
		conn_pin_again(c);
	list()[goings++] = (struct going){ c, pinned, way };
	return true;
}

static void hold_back(int fd, struct conn *c, int flags)
{
	static int told;

	if (fd <= 2 || now.loads)
		say_once(told, "the new program gets no descriptor %d: it is a TLS socket, and %s.",
			 fd,
			 now.loads ? "more than 64 go along, others hold it who cannot follow, or "
				     "no memfd can be had"
				   : "it would not run under tlsulp (is it static or setuid, or "
				     "LD_PRELOAD not in its environment?)");
	real.fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	if (have_notes() && marks < MARKS_MAX) {
		notes->marked[marks].fd = fd;
		notes->marked[marks++].cookie = c->session->cookie;
	}
}

static void decide(int fd, struct conn *c)
{
	int flags;

	if (!real_is_socket(fd, c->session->cookie))
		return;
	flags = real.fcntl(fd, F_GETFD);
	if (flags < 0 || (flags & FD_CLOEXEC) || send_along(c))
		return;
	if (conn_has_key(c))
		hold_back(fd, c, flags);
}

/* This vfork child's duplicates; those of children long gone are forgotten. */
static void each_copy(void (*visit)(int fd, struct conn *c))
{
	pid_t pid = sys_call(SYS_getpid);
	unsigned int kept = 0;

	for (unsigned int i = 0; i < copies; i++) {
		if (notes->copied[i].pid != pid)
			continue;
		notes->copied[kept] = notes->copied[i];
		visit(notes->copied[kept].fd, notes->copied[kept].conn);
		kept++;
	}
	copies = kept;
}

/* They are in no table, and end with exec unless the session goes along. */
static void decide_copy(int fd, struct conn *c)
{
	if (real_is_socket(fd, c->session->cookie) && send_along(c))
		real.fcntl(fd, F_SETFD, 0);
}

static void hold_back_copy(int fd, struct conn *c)
{
	if (real_is_socket(fd, c->session->cookie))
		real.fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void exec_copied(struct conn *c, int fd)
{
	int flags = real.fcntl(fd, F_GETFD);

	if (flags < 0 || (flags & FD_CLOEXEC) || !conn_has_key(c))
		return;
	real.fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	if (!have_notes())
		return;
	if (copies == COPIES_MAX)
		copies = 0; /* of children long gone, or hopeless */
	notes->copied[copies].pid = sys_call(SYS_getpid);
	notes->copied[copies].fd = fd;
	notes->copied[copies++].conn = c;
}

static void before(bool loads)
{
	bool vforked;

	marks = goings = 0;
	if (!conn_count())
		return;
	vforked = process_is_vfork_child();
	now.loads = loads;
	now.beside = vforked;
	conn_each_fd(decide);
	each_copy(decide_copy);
	if (vforked)
		return;
	linger_before_exec(goes);
	conn_before_exec(goes);
}

/* All as it was. @cancel: no program came to be. */
static void put_back(bool cancel)
{
	while (marks--)
		if (real_is_socket(notes->marked[marks].fd, notes->marked[marks].cookie))
			real.fcntl(notes->marked[marks].fd, F_SETFD, 0);
	marks = 0;
	for (; goings; goings--) {
		const struct going *g = &list()[goings - 1];
		struct conn *c = g->conn;
		int fd = parcel_fd(arena_parcel(c->arena));

		if (fd >= 0)
			real.fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (cancel && g->way >= 0)
			handover_cancel(c, g->way);
		if (g->pinned)
			conn_unpin(c);
	}
	end_notes();
}

/* execve and its kin come back only if they failed. */
static int failed(int result, bool begun)
{
	int saved = errno;

	if (conn_count() && !process_is_vfork_child())
		conn_after_exec();
	else
		each_copy(hold_back_copy);
	put_back(true);
	exec_end(begun);
	errno = saved;
	return result;
}

/* It may have the other end of a pipe. */
static bool begin_program(void)
{
	tube_leave_all();
	return exec_begin();
}

int exec_ve(const char *path, char *const argv[], char *const envp[])
{
	char *room[LOADER_ENV_MAX];
	bool begun = begin_program();

	envp = loader_env(path, envp, room);
	before(conn_count() && loader_runs_in(AT_FDCWD, path, envp));
	return failed(real.execve(path, argv, envp), begun);
}

int exec_vpe(const char *file, char *const argv[], char *const envp[])
{
	bool begun = begin_program();

	before(conn_count() && loader_runs_in_found(file, envp));
	return failed(real.execvpe(file, argv, envp), begun);
}

int exec_f(int fd, char *const argv[], char *const envp[])
{
	bool begun = begin_program();

	before(conn_count() && loader_runs_in_fd(fd, envp));
	return failed(real.fexecve(fd, argv, envp), begun);
}

int exec_at(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	bool begun = begin_program();

	before(conn_count() &&
	       ((flags & AT_EMPTY_PATH) && !*path ? loader_runs_in_fd(dirfd, envp)
						  : loader_runs_in(dirfd, path, envp)));
	return failed(real.execveat(dirfd, path, argv, envp, flags), begun);
}

pid_t (*exec_before_vfork(void))(void)
{
	int saved = errno;

	real_init();
	tube_leave_all();
	handover_pack_few();
	errno = saved;
	return real.vfork;
}

static void decide_spawned(int fd, struct conn *c)
{
	if (now.actions && c->spawned == now.actions && !send_along(c))
		now.refused = true;
}

static void before_spawn(bool loads, const posix_spawn_file_actions_t *actions)
{
	marks = goings = 0;
	now.refused = false;
	if (!conn_count())
		return;
	now.loads = loads;
	now.beside = true;
	now.actions = actions;
	conn_each_fd(decide);
	conn_each_fd(decide_spawned);
}

/* libc would put the socket into a program that writes plaintext to it. */
static bool spawn_is_refused(void)
{
	static int told;

	if (now.refused)
		say_once(told, "a TLS socket is to become a descriptor of a new program that would "
			       "not run under tlsulp; posix_spawn says EOPNOTSUPP.");
	return now.refused;
}

static int after_spawn(int result, bool begun, bool cancel)
{
	int saved = errno;

	put_back(cancel);
	exec_end(begun);
	errno = saved;
	return result;
}

int exec_spawn(exec_spawner *spawn, pid_t *pid, const char *path,
	       const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
	       char *const argv[], char *const envp[])
{
	bool begun = begin_program();
	int err;

	before_spawn(conn_count() && loader_runs_in(AT_FDCWD, path, envp), actions);
	err = spawn_is_refused() ? EOPNOTSUPP : spawn(pid, path, actions, attr, argv, envp);
	return after_spawn(err, begun, err != 0);
}

int exec_spawnp(exec_spawner *spawn, pid_t *pid, const char *file,
		const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		char *const argv[], char *const envp[])
{
	bool begun = begin_program();
	int err;

	before_spawn(conn_count() && loader_runs_in_found(file, envp), actions);
	err = spawn_is_refused() ? EOPNOTSUPP : spawn(pid, file, actions, attr, argv, envp);
	return after_spawn(err, begun, err != 0);
}

/* popen() runs this. */
static bool shell_loads(void)
{
	return conn_count() && loader_runs_in(AT_FDCWD, "/bin/sh", environ);
}

FILE *exec_popen(const char *command, const char *mode)
{
	bool begun = begin_program();
	FILE *f;

	before_spawn(shell_loads(), NULL);
	f = real.popen(command, mode);
	after_spawn(0, begun, !f);
	return f;
}

int exec_wordexp(const char *words, wordexp_t *expanded, int flags)
{
	bool begun = begin_program();

	before_spawn(false, NULL);
	return after_spawn(real.wordexp(words, expanded, flags), begun, true);
}

int exec_spawn_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)
{
	static int told;
	struct conn *c = conn_pin(fd);
	int err = 0;

	if (c && conn_has_key(c))
		err = handover_pack(c);
	if (c && !err)
		c->spawned = actions;
	if (c)
		conn_unpin(c);
	if (!err)
		return real.posix_spawn_file_actions_adddup2(actions, fd, newfd);
	say_once(told,
		 "descriptor %d is a TLS socket that other processes hold too, and cannot become "
		 "descriptor %d of a new program; posix_spawn_file_actions_adddup2 says "
		 "EOPNOTSUPP.",
		 fd, newfd);
	return EOPNOTSUPP;
}

static __thread const void *begun;

static void not_of_old(int fd, struct conn *c)
{
	if (c->spawned == begun)
		c->spawned = NULL;
}

int exec_spawn_init(posix_spawn_file_actions_t *actions)
{
	begun = actions;
	if (conn_count())
		conn_each_fd(not_of_old);
	return real.posix_spawn_file_actions_init(actions);
}
