// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * libc's names -> our calls; nothing else is in here. A descriptor that is not
 * in the table goes to libc at once: one load, one branch.
 */
/* With it the headers would rename what is defined here (fcntl to fcntl64 and so on). */
#undef _FILE_OFFSET_BITS

#include "user/arrival.h"
#include "user/calls.h"
#include "user/conn.h"
#include "user/exec.h"
#include "user/fault.h"
#include "user/home.h"
#include "user/linger.h"
#include "user/loader.h"
#include "user/process.h"
#include "user/real.h"
#include "user/signals.h"
#include "user/stats.h"
#include "user/streams.h"
#include "user/tube.h"
#include "user/uring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))
#define ALIAS(name) __attribute__((alias(#name), copy(name), visibility("default")))

extern char **environ;

__attribute__((constructor)) static void start(void)
{
	real_init();
	signals_init();
	conn_init();
	stats_init();
	loader_init();
	home_init();
	arrival_init();
}

__attribute__((destructor)) static void stop(void)
{
	streams_before_exit();
	linger_before_exit();
}

/* Calls can come before any constructor has run. */
static inline void ready(void)
{
	if (__builtin_expect(!real_ready, 0))
		real_init();
}

/* Or a tube, which ends where the call finds no connection. */
#define OURS(fd) (ready(), __builtin_expect(fdtab_any(fd) != NULL, 0))
/* For what libc does by itself. */
#define OURS_ALONE(fd) (OURS(fd) && (tube_leave(fd), fdtab_get(fd) != NULL))

/* ---- send ---- */

EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
	return OURS(fd) ? tlsulp_write(fd, buf, n) : real.write(fd, buf, n);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return OURS(fd) ? tlsulp_writev(fd, iov, count) : real.writev(fd, iov, count);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	return OURS(fd) ? call_pwritev2(fd, iov, count, offset, flags)
			: real.pwritev2(fd, iov, count, offset, flags);
}

EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	return OURS(fd) ? tlsulp_send(fd, buf, n, flags) : real.send(fd, buf, n, flags);
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
		      socklen_t len)
{
	return OURS(fd) ? tlsulp_sendto(fd, buf, n, flags, addr, len)
			: real.sendto(fd, buf, n, flags, addr, len);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return (ready(), tlsulp_sendmsg(fd, msg, flags));
}

EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	return (ready(), tlsulp_sendmmsg(fd, msgs, n, flags));
}

EXPORT ssize_t sendfile64(int fd, int in_fd, off64_t *offset, size_t count)
{
	return OURS(fd) ? tlsulp_sendfile(fd, in_fd, offset, count)
			: real.sendfile64(fd, in_fd, offset, count);
}

/* ---- receive ---- */

EXPORT ssize_t read(int fd, void *buf, size_t n)
{
	return OURS(fd) ? tlsulp_read(fd, buf, n) : real.read(fd, buf, n);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	return OURS(fd) ? tlsulp_readv(fd, iov, count) : real.readv(fd, iov, count);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	return OURS(fd) ? call_preadv2(fd, iov, count, offset, flags)
			: real.preadv2(fd, iov, count, offset, flags);
}

EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return OURS(fd) ? tlsulp_recv(fd, buf, n, flags) : real.recv(fd, buf, n, flags);
}

EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
			socklen_t *len)
{
	return OURS(fd) ? tlsulp_recvfrom(fd, buf, n, flags, addr, len)
			: real.recvfrom(fd, buf, n, flags, addr, len);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	return OURS(fd) ? tlsulp_recvmsg(fd, msg, flags) : call_plain_recvmsg(fd, msg, flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
		    struct timespec *timeout)
{
	return OURS(fd) ? tlsulp_recvmmsg(fd, msgs, n, flags, timeout)
			: call_plain_recvmmsg(fd, msgs, n, flags, timeout);
}

/* What _FORTIFY_SOURCE makes of the calls above: the same, and the buffer's size is known. */
extern void __chk_fail(void) __attribute__((noreturn));

EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
			      struct sockaddr *addr, socklen_t *len);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		       const sigset_t *mask, size_t size);
EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...);
EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list args);

EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	if (n > size)
		__chk_fail();
	return read(fd, buf, n);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	if (n > size)
		__chk_fail();
	return recv(fd, buf, n, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
			      struct sockaddr *addr, socklen_t *len)
{
	if (n > size)
		__chk_fail();
	return recvfrom(fd, buf, n, flags, addr, len);
}

/* ---- both ---- */

EXPORT ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
		      unsigned int flags)
{
	return (ready(), tlsulp_splice(in, in_off, out, out_off, len, flags));
}

EXPORT ssize_t tee(int in, int out, size_t len, unsigned int flags)
{
	ready();
	tube_leave(in);
	tube_leave(out);
	return real.tee(in, out, len, flags);
}

EXPORT ssize_t vmsplice(int fd, const struct iovec *iov, size_t count, unsigned int flags)
{
	ready();
	tube_leave(fd);
	return real.vmsplice(fd, iov, count, flags);
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return (ready(), tlsulp_setsockopt(fd, level, name, value, len));
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return OURS(fd) ? tlsulp_getsockopt(fd, level, name, value, len)
			: real.getsockopt(fd, level, name, value, len);
}

EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return OURS(fd) ? tlsulp_connect(fd, addr, len) : real.connect(fd, addr, len);
}

EXPORT int listen(int fd, int backlog)
{
	return OURS(fd) ? tlsulp_listen(fd, backlog) : real.listen(fd, backlog);
}

EXPORT int shutdown(int fd, int how)
{
	return OURS(fd) ? tlsulp_shutdown(fd, how) : real.shutdown(fd, how);
}

/* ---- descriptors ---- */

EXPORT int close(int fd)
{
	return (ready(), tlsulp_close(fd));
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	return (ready(), call_close_range(first, last, flags));
}

EXPORT void closefrom(int first)
{
	ready();
	call_closefrom(first);
}

EXPORT int dup(int fd)
{
	return (ready(), tlsulp_dup(fd));
}

EXPORT int dup2(int fd, int newfd)
{
	return (ready(), tlsulp_dup2(fd, newfd));
}

EXPORT int dup3(int fd, int newfd, int flags)
{
	return (ready(), tlsulp_dup3(fd, newfd, flags));
}

EXPORT int fcntl64(int fd, int cmd, ...)
{
	va_list args;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	return (ready(), call_fcntl(fd, cmd, arg));
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return (ready(), call_ioctl(fd, request, arg));
}

EXPORT int daemon(int nochdir, int noclose)
{
	return (ready(), call_daemon(nochdir, noclose));
}

EXPORT int socket(int family, int type, int protocol)
{
	return (ready(), call_new_fd(real.socket(family, type, protocol)));
}

EXPORT int socketpair(int family, int type, int protocol, int fds[2])
{
	int got = (ready(), real.socketpair(family, type, protocol, fds));

	if (!got) {
		call_new_fd(fds[0]);
		call_new_fd(fds[1]);
	}
	return got;
}

EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return (ready(), call_new_fd(real.accept(fd, addr, len)));
}

EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return (ready(), call_new_fd(real.accept4(fd, addr, len, flags)));
}

EXPORT int pipe2(int fds[2], int flags)
{
	return (ready(), call_pipe2(fds, flags));
}

EXPORT int pipe(int fds[2])
{
	return pipe2(fds, 0);
}

EXPORT int epoll_create(int size)
{
	return (ready(), call_new_fd(real.epoll_create(size)));
}

EXPORT int epoll_create1(int flags)
{
	return (ready(), call_new_fd(real.epoll_create1(flags)));
}

EXPORT int eventfd(unsigned int value, int flags)
{
	return (ready(), call_new_fd(real.eventfd(value, flags)));
}

EXPORT int eventfd_read(int fd, eventfd_t *value)
{
	if (!OURS_ALONE(fd))
		return real.eventfd_read(fd, value);
	return tlsulp_read(fd, value, sizeof(*value)) == sizeof(*value) ? 0 : -1;
}

EXPORT int eventfd_write(int fd, eventfd_t value)
{
	if (!OURS_ALONE(fd))
		return real.eventfd_write(fd, value);
	return tlsulp_write(fd, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

EXPORT int openpty(int *master, int *slave, char *name, const struct termios *termios,
		   const struct winsize *size)
{
	int got = (ready(), real.openpty(master, slave, name, termios, size));

	if (!got) {
		call_new_fd(*master);
		call_new_fd(*slave);
	}
	return got;
}

EXPORT pid_t forkpty(int *master, char *name, const struct termios *termios,
		     const struct winsize *size)
{
	return (ready(), call_forkpty(master, name, termios, size));
}

EXPORT int login_tty(int fd)
{
	return (ready(), call_login_tty(fd));
}

EXPORT int unshare(int flags)
{
	return (ready(), call_unshare(flags));
}

EXPORT int pidfd_getfd(int pidfd, int fd, unsigned int flags);
EXPORT int pidfd_getfd(int pidfd, int fd, unsigned int flags)
{
	return (ready(), call_pidfd_getfd(pidfd, fd, flags));
}

/* ---- wait ---- */

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return (ready(), tlsulp_poll(fds, n, timeout_ms));
}

EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	return (ready(), tlsulp_ppoll(fds, n, timeout, mask));
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size)
{
	if (size / sizeof(*fds) < n)
		__chk_fail();
	return poll(fds, n, timeout_ms);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		       const sigset_t *mask, size_t size)
{
	if (size / sizeof(*fds) < n)
		__chk_fail();
	return ppoll(fds, n, timeout, mask);
}

EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	return (ready(), tlsulp_select(n, r, w, e, timeout));
}

EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		   const sigset_t *mask)
{
	return (ready(), tlsulp_pselect(n, r, w, e, timeout, mask));
}

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	return (ready(), tlsulp_epoll_ctl(epfd, op, fd, event));
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	return (ready(), tlsulp_epoll_wait(epfd, events, max, timeout_ms));
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms,
		       const sigset_t *mask)
{
	return (ready(), tlsulp_epoll_pwait(epfd, events, max, timeout_ms, mask));
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask)
{
	return (ready(), tlsulp_epoll_pwait2(epfd, events, max, timeout, mask));
}

/* ---- stdio and aio, whose I/O is inside libc ---- */

EXPORT FILE *fdopen(int fd, const char *mode)
{
	return (ready(), streams_fdopen(fd, mode));
}

EXPORT int fclose(FILE *f)
{
	return (ready(), streams_fclose(f));
}

EXPORT int pclose(FILE *f)
{
	return (ready(), streams_pclose(f));
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *f)
{
	return (ready(), streams_freopen(path, mode, f, 0));
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *f)
{
	return (ready(), streams_freopen(path, mode, f, 1));
}

EXPORT int fileno(FILE *f)
{
	return (ready(), streams_fileno(f));
}

EXPORT int vdprintf(int fd, const char *format, va_list args)
{
	return (ready(), streams_vdprintf(fd, format, args));
}

EXPORT int dprintf(int fd, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vdprintf(fd, format, args);
	va_end(args);
	return n;
}

EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
	return vdprintf(fd, format, args);
}

EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vdprintf(fd, format, args);
	va_end(args);
	return n;
}

EXPORT void backtrace_symbols_fd(void *const *addresses, int n, int fd)
{
	if (OURS_ALONE(fd))
		streams_backtrace(addresses, n, fd);
	else
		real.backtrace_symbols_fd(addresses, n, fd);
}

EXPORT void openlog(const char *ident, int options, int facility)
{
	ready();
	streams_openlog(ident, options, facility);
}

/* libc's threads would write past us: refused, as by a system without it. */
static int no_aio(void)
{
	errno = ENOSYS;
	return -1;
}

EXPORT int aio_read(struct aiocb *cb)
{
	return OURS_ALONE(cb->aio_fildes) ? no_aio() : real.aio_read(cb);
}

EXPORT int aio_write(struct aiocb *cb)
{
	return OURS_ALONE(cb->aio_fildes) ? no_aio() : real.aio_write(cb);
}

EXPORT int aio_read64(struct aiocb64 *cb)
{
	return OURS_ALONE(cb->aio_fildes) ? no_aio() : real.aio_read64(cb);
}

EXPORT int aio_write64(struct aiocb64 *cb)
{
	return OURS_ALONE(cb->aio_fildes) ? no_aio() : real.aio_write64(cb);
}

EXPORT int lio_listio(int mode, struct aiocb *const list[], int n, struct sigevent *event)
{
	for (int i = 0; i < n; i++)
		if (list[i] && OURS_ALONE(list[i]->aio_fildes))
			return no_aio();
	return (ready(), real.lio_listio(mode, list, n, event));
}

EXPORT int lio_listio64(int mode, struct aiocb64 *const list[], int n, struct sigevent *event)
{
	for (int i = 0; i < n; i++)
		if (list[i] && OURS_ALONE(list[i]->aio_fildes))
			return no_aio();
	return (ready(), real.lio_listio64(mode, list, n, event));
}

/* ---- signals, exit, exec, syscall ---- */

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return (ready(), signals_sigaction(sig, act, old));
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	return (ready(), signals_signal(sig, handler));
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return (ready(), signals_sysv_signal(sig, handler));
}

EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	return (ready(), signals_sigset(sig, handler));
}

EXPORT int siginterrupt(int sig, int on)
{
	return (ready(), signals_siginterrupt(sig, on));
}

EXPORT int pthread_setcanceltype(int type, int *old)
{
	return (ready(), signals_setcanceltype(type, old));
}

EXPORT void _exit(int status)
{
	ready();
	if (conn_count() && !process_is_vfork_child())
		linger_before_exit();
	real._exit(status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status)
{
	_exit(status);
}

EXPORT void quick_exit(int status)
{
	ready();
	linger_before_exit();
	real.quick_exit(status);
	__builtin_unreachable();
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return (ready(), exec_ve(path, argv, envp));
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return (ready(), exec_vpe(file, argv, envp));
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	return (ready(), exec_f(fd, argv, envp));
}

EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags);
EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return (ready(), exec_at(dirfd, path, argv, envp, flags));
}

/* The argument list of execl and its kin as a vector on the stack. */
#define ARGV_OF(argv, first, last_arg)                                                             \
	size_t argc = 1;                                                                           \
	va_list args;                                                                              \
	va_start(args, first);                                                                     \
	while (va_arg(args, char *))                                                               \
		argc++;                                                                            \
	va_end(args);                                                                              \
	char *argv[argc + 1];                                                                      \
	va_start(args, first);                                                                     \
	argv[0] = (char *)first;                                                                   \
	for (size_t i = 1; i <= argc; i++)                                                         \
		argv[i] = va_arg(args, char *);                                                    \
	last_arg;                                                                                  \
	va_end(args)

EXPORT int execl(const char *path, const char *arg, ...)
{
	ARGV_OF(argv, arg, (void)0);
	return execve(path, argv, environ);
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	ARGV_OF(argv, arg, (void)0);
	return execvpe(file, argv, environ);
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	char **envp;

	ARGV_OF(argv, arg, envp = va_arg(args, char **));
	return execve(path, argv, envp);
}

/* Children that pthread_atfork() does not tell of. */
EXPORT pid_t _Fork(void);
EXPORT pid_t _Fork(void)
{
	ready();
	tube_leave_all();
	if (real._Fork)
		return real._Fork();
	errno = ENOSYS;
	return -1;
}

EXPORT int clone(int (*run)(void *), void *stack, int flags, void *arg, ...)
{
	void *more[3];
	va_list args;

	va_start(args, arg);
	for (int i = 0; i < 3; i++)
		more[i] = va_arg(args, void *);
	va_end(args);
	ready();
	if (!(flags & CLONE_FILES)) /* no thread: it has numbers of its own */
		tube_leave_all();
	if (!(flags & CLONE_FILES) != !(flags & CLONE_VM) && !(flags & CLONE_VFORK))
		tube_never_again(); /* but our memory, or the other way round */
	return real.clone(run, stack, flags, arg, more[0], more[1], more[2]);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return (ready(), exec_spawn(real.posix_spawn, pid, path, actions, attr, argv, envp));
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return (ready(), exec_spawnp(real.posix_spawnp, pid, file, actions, attr, argv, envp));
}

/* Only where libc has them: programs look whether it does. */
#if __GLIBC_PREREQ(2, 39)
EXPORT int pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return (ready(), exec_spawn(real.pidfd_spawn, pidfd, path, actions, attr, argv, envp));
}

EXPORT int pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return (ready(), exec_spawnp(real.pidfd_spawnp, pidfd, file, actions, attr, argv, envp));
}
#endif

EXPORT int system(const char *command)
{
	return (ready(), exec_system(command));
}

EXPORT FILE *popen(const char *command, const char *mode)
{
	return (ready(), exec_popen(command, mode));
}

EXPORT int wordexp(const char *words, wordexp_t *expanded, int flags)
{
	return (ready(), exec_wordexp(words, expanded, flags));
}

EXPORT int posix_spawn_file_actions_init(posix_spawn_file_actions_t *actions)
{
	return (ready(), exec_spawn_init(actions));
}

EXPORT int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)
{
	return (ready(), exec_spawn_adddup2(actions, fd, newfd));
}

EXPORT long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	return (ready(), call_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* Other names of the same functions that libc exports. */
#if __SIZEOF_LONG__ == 8
EXPORT ssize_t sendfile(int fd, int in_fd, off_t *offset, size_t count) ALIAS(sendfile64);
EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
	ALIAS(preadv2);
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
	ALIAS(pwritev2);
#endif
EXPORT int fcntl(int fd, int cmd, ...) ALIAS(fcntl64);
EXPORT int fileno_unlocked(FILE *f) ALIAS(fileno);
EXPORT FILE *_IO_fdopen(int fd, const char *mode) ALIAS(fdopen);
EXPORT int _IO_fclose(FILE *f) ALIAS(fclose);
EXPORT FILE *_IO_popen(const char *command, const char *mode) ALIAS(popen);
EXPORT void __backtrace_symbols_fd(void *const *addresses, int n, int fd)
	ALIAS(backtrace_symbols_fd);
EXPORT ssize_t __read(int fd, void *buf, size_t n) ALIAS(read);
EXPORT ssize_t __write(int fd, const void *buf, size_t n) ALIAS(write);
EXPORT ssize_t __send(int fd, const void *buf, size_t n, int flags) ALIAS(send);
EXPORT int __close(int fd) ALIAS(close);
EXPORT int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...) ALIAS(clone);
EXPORT int __dup2(int fd, int newfd) ALIAS(dup2);
EXPORT int __fcntl(int fd, int cmd, ...) ALIAS(fcntl64);
EXPORT int __connect(int fd, const struct sockaddr *addr, socklen_t len) ALIAS(connect);
EXPORT int __poll(struct pollfd *fds, nfds_t n, int timeout_ms) ALIAS(poll);
EXPORT int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) ALIAS(select);
EXPORT int __pipe(int fds[2]) ALIAS(pipe);
EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
	ALIAS(sigaction);
EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler) ALIAS(signal);
EXPORT sighandler_t ssignal(int sig, sighandler_t handler) ALIAS(signal);
EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler) ALIAS(sysv_signal);
