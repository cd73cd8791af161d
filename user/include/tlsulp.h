/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tlsulp: the Linux TLS upper layer protocol in userspace, as a library.
 *
 * These are the socket calls of the same names, with the same arguments,
 * results and errno, that also understand TCP_ULP "tls" and level SOL_TLS on
 * any kernel. On a descriptor that is not a TLS socket each one is libc's.
 * What each does on a TLS socket is written in tlsulp(7).
 *
 * A program linked with -ltlsulp need not call them: the library takes over
 * libc's names, as under `tlsulp run`. They are for programs that want to see
 * in their own source where the ULP is, or that open the library with dlopen().
 * Then every descriptor of a TLS socket must be closed, duplicated and waited
 * for with these calls only.
 *
 * Thread safety: all of them, as the system calls. Async-signal safety: the
 * sending and receiving calls, tlsulp_poll() and tlsulp_close(); not
 * tlsulp_setsockopt().
 *
 * File offsets are 64 bits wide everywhere (off64_t).
 */
#ifndef TLSULP_H
#define TLSULP_H

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mmsghdr; /* <sys/socket.h> with _GNU_SOURCE */

#define TLSULP_API __attribute__((visibility("default")))

/* "0.1.0" */
TLSULP_API const char *tlsulp_version(void);

/*
 * A counter under its name in /proc/net/tls_stat ("TlsTxSw"), of this process
 * tree. Returns -1 and EINVAL for an unknown name.
 */
TLSULP_API int64_t tlsulp_stat(const char *name);

TLSULP_API int tlsulp_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
TLSULP_API int tlsulp_getsockopt(int fd, int level, int name, void *value, socklen_t *len);

TLSULP_API ssize_t tlsulp_write(int fd, const void *buf, size_t n);
TLSULP_API ssize_t tlsulp_writev(int fd, const struct iovec *iov, int count);
TLSULP_API ssize_t tlsulp_send(int fd, const void *buf, size_t n, int flags);
TLSULP_API ssize_t tlsulp_sendto(int fd, const void *buf, size_t n, int flags,
				 const struct sockaddr *addr, socklen_t addr_len);
TLSULP_API ssize_t tlsulp_sendmsg(int fd, const struct msghdr *msg, int flags);
TLSULP_API int tlsulp_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags);
TLSULP_API ssize_t tlsulp_sendfile(int fd, int in_fd, int64_t *offset, size_t count);

TLSULP_API ssize_t tlsulp_read(int fd, void *buf, size_t n);
TLSULP_API ssize_t tlsulp_readv(int fd, const struct iovec *iov, int count);
TLSULP_API ssize_t tlsulp_recv(int fd, void *buf, size_t n, int flags);
TLSULP_API ssize_t tlsulp_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
				   socklen_t *addr_len);
TLSULP_API ssize_t tlsulp_recvmsg(int fd, struct msghdr *msg, int flags);
TLSULP_API int tlsulp_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			       struct timespec *timeout);

TLSULP_API ssize_t tlsulp_splice(int in, int64_t *in_off, int out, int64_t *out_off, size_t len,
				 unsigned int flags);

TLSULP_API int tlsulp_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
TLSULP_API int tlsulp_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
			    const sigset_t *mask);
TLSULP_API int tlsulp_select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout);
TLSULP_API int tlsulp_pselect(int n, fd_set *r, fd_set *w, fd_set *e,
			      const struct timespec *timeout, const sigset_t *mask);
TLSULP_API int tlsulp_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
TLSULP_API int tlsulp_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms);
TLSULP_API int tlsulp_epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms,
				  const sigset_t *mask);
TLSULP_API int tlsulp_epoll_pwait2(int epfd, struct epoll_event *events, int max,
				   const struct timespec *timeout, const sigset_t *mask);

TLSULP_API int tlsulp_connect(int fd, const struct sockaddr *addr, socklen_t len);
TLSULP_API int tlsulp_listen(int fd, int backlog);
TLSULP_API int tlsulp_shutdown(int fd, int how);
TLSULP_API int tlsulp_close(int fd);
TLSULP_API int tlsulp_dup(int fd);
TLSULP_API int tlsulp_dup2(int fd, int newfd);
TLSULP_API int tlsulp_dup3(int fd, int newfd, int flags);

#ifdef __cplusplus
}
#endif

#endif
