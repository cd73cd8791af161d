/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCM_RIGHTS: the session of a TLS socket goes along in its parcel, one more
 * descriptor of the message, which the receiving side takes out before the
 * program sees it. A process that has not this library would write plaintext:
 * the message is refused (EOPNOTSUPP, and a word on stderr).
 *
 * As libc's calls, on sockets without TLS.
 */
#ifndef TLSULP_RIGHTS_H
#define TLSULP_RIGHTS_H

#include <sys/socket.h>

ssize_t rights_sendmsg(int fd, const struct msghdr *msg, int flags);
int rights_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags);

/* @came is told of each descriptor before anything is done with it. */
ssize_t rights_recvmsg(int fd, struct msghdr *msg, int flags, void (*came)(int fd));
int rights_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
		    struct timespec *timeout, void (*came)(int fd));

#endif
