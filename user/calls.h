/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Calls that tlsulp.h does not offer but preload.c maps libc's names to. As libc's. */
#ifndef TLSULP_CALLS_H
#define TLSULP_CALLS_H

#include "user/include/tlsulp.h"

#include <pty.h>

ssize_t call_preadv2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);
ssize_t call_pwritev2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);
int call_fcntl(int fd, int cmd, void *arg);
int call_ioctl(int fd, unsigned long request, void *arg);
int call_close_range(unsigned int first, unsigned int last, int flags);
void call_closefrom(int first);
int call_daemon(int nochdir, int noclose);
int call_login_tty(int fd);
pid_t call_forkpty(int *master, char *name, const struct termios *termios,
		   const struct winsize *size);
int call_unshare(int flags);
int call_pidfd_getfd(int pidfd, int fd, unsigned int flags);

/* On sockets that are not TLS: they may bring descriptors. */
ssize_t call_plain_recvmsg(int fd, struct msghdr *msg, int flags);
int call_plain_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			struct timespec *timeout);

/* @fd came from the kernel as a new descriptor; returns it. */
int call_new_fd(int fd);
int call_pipe2(int fds[2], int flags);

/* syscall() with a call that this library takes over on a TLS socket. */
long call_syscall(long number, long a, long b, long c, long d, long e, long f);

#endif
