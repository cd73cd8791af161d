/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libc's own functions, behind the names that preload.c takes over. Nothing
 * else in the library may call a taken-over function by its name.
 */
#ifndef TLSULP_REAL_H
#define TLSULP_REAL_H

#include <aio.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>
#include <utmp.h>
#include <wordexp.h>

/* clang-format off */
#define REAL_FUNCTIONS(X) \
	X(read) X(write) X(readv) X(writev) X(preadv2) X(pwritev2) X(send) X(sendto) \
	X(sendmsg) X(sendmmsg) X(recv) X(recvfrom) X(recvmsg) X(recvmmsg) X(sendfile64) \
	X(splice) X(tee) X(vmsplice) X(setsockopt) X(getsockopt) X(connect) X(listen) X(shutdown) X(socket) \
	X(socketpair) X(accept) X(accept4) X(pipe) X(pipe2) X(epoll_create) \
	X(epoll_create1) X(eventfd) X(eventfd_read) X(eventfd_write) X(open) X(openpty) \
	X(forkpty) X(login_tty) X(unshare) X(close) X(close_range) X(closefrom) X(dup) \
	X(dup2) X(dup3) X(fcntl) X(ioctl) X(daemon) X(poll) X(ppoll) X(select) X(pselect) \
	X(epoll_ctl) X(epoll_wait) X(epoll_pwait) X(epoll_pwait2) X(fdopen) X(fclose) X(pclose) \
	X(freopen) X(freopen64) X(fileno) X(vdprintf) X(aio_read) X(aio_read64) \
	X(aio_write) X(aio_write64) X(lio_listio) X(lio_listio64) X(backtrace_symbols_fd) \
	X(openlog) X(system) X(popen) X(wordexp) X(sigaction) X(signal) \
	X(pthread_setcanceltype) X(syscall) \
	X(clone) X(_exit) X(quick_exit) X(vfork) X(execve) X(execvpe) X(fexecve) X(posix_spawn) \
	X(posix_spawnp) X(posix_spawn_file_actions_init) \
	X(posix_spawn_file_actions_adddup2)
/* clang-format on */

struct real {
#define X(name) __typeof__(&name) name;
	REAL_FUNCTIONS(X)
#undef X
	int (*execveat)(int, const char *, char *const[], char *const[], int);
	int (*pidfd_getfd)(int, int, unsigned int); /* NULL before glibc 2.36 */
	pid_t (*_Fork)(void); /* NULL before glibc 2.34 */
#if __GLIBC_PREREQ(2, 39)
	__typeof__(&posix_spawn) pidfd_spawn, pidfd_spawnp;
#endif
};

extern struct real real;
extern bool real_ready;

/* Fill `real`; safe to call again, and before any constructor has run. */
void real_init(void);

/* Is @fd the socket that has this SO_COOKIE? It may have become another behind our back. */
bool real_is_socket(int fd, uint64_t cookie);

/* The bare system call: no cancellation point, errno as usual. */
#define sys_call(...) real.syscall(__VA_ARGS__)

#endif
