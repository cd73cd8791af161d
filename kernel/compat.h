/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All that differs between Linux 6.1, 6.12 and 7.2: nothing else in this folder
 * asks for a version. Include it after the kernel's own headers.
 */
#ifndef TLSULP_KERNEL_COMPAT_H
#define TLSULP_KERNEL_COMPAT_H

#include <linux/bvec.h>
#include <linux/socket.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <net/compat.h>
#include <net/tcp.h>

/* 6.5: sendmsg with MSG_SPLICE_PAGES takes the place of sendpage. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define COMPAT_HAS_SENDPAGE 1
#else
#define MSG_SENDPAGE_NOTLAST 0
#endif

/* Flags that only the kernel itself sets. Of sendmsg() it is sure that no user has set them. */
#ifdef COMPAT_HAS_SENDPAGE
#define COMPAT_SENDMSG_FLAGS (MSG_CMSG_COMPAT | MSG_SPLICE_PAGES)
#define COMPAT_SENDPAGE_FLAGS                                                                      \
	(MSG_SENDPAGE_NOTLAST | MSG_NO_SHARED_FRAGS | MSG_SENDPAGE_NOPOLICY |                      \
	 MSG_SENDPAGE_DECRYPTED)
#else
#define COMPAT_SENDMSG_FLAGS                                                                       \
	(MSG_CMSG_COMPAT | MSG_SPLICE_PAGES | MSG_SENDPAGE_NOPOLICY | MSG_SENDPAGE_DECRYPTED)
#endif

/*
 * Hand the @n pieces at @v, the first one from @skip on, to TCP by reference.
 * Returns the number of bytes that it took, or a negative errno.
 */
static inline int compat_tcp_send(struct sock *sk, struct bio_vec *v, unsigned int n, size_t skip,
				  size_t len, int flags)
{
#ifdef COMPAT_HAS_SENDPAGE
	int done = 0;

	/* tcp_sendpage_locked() calls ops->sendmsg_locked(), us, on a route without NETIF_F_SG. */
	tcp_rate_check_app_limited(sk);
	for (unsigned int i = 0; i < n; i++, skip = 0) {
		int last = i + 1 == n ? 0 : MSG_SENDPAGE_NOTLAST;
		int want = v[i].bv_len - skip;
		int ret = do_tcp_sendpages(sk, v[i].bv_page, v[i].bv_offset + skip, want,
					   flags | last | MSG_NO_SHARED_FRAGS);

		if (ret < 0)
			return done ? done : ret;
		done += ret;
		if (ret < want)
			break;
	}
	return done;
#else
	struct msghdr msg = { .msg_flags = flags | MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS };

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, v, n, skip + len);
	iov_iter_advance(&msg.msg_iter, skip);
	return tcp_sendmsg_locked(sk, &msg, len);
#endif
}

/* Since 7.1 the address's length is in struct msghdr alone. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 1, 0)
#define COMPAT_RECVMSG_ARGS , int *addr_len
#define COMPAT_RECVMSG_PASS , addr_len
#else
#define COMPAT_RECVMSG_ARGS
#define COMPAT_RECVMSG_PASS
#endif

/* 6.14: get_info() and get_info_size() learn whether the asker has CAP_NET_ADMIN. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define COMPAT_INFO_ARGS
#else
#define COMPAT_INFO_ARGS , bool net_admin
#endif

/* The newest names of linux/tls.h. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define TLS_INFO_TX_MAX_PAYLOAD_LEN 7
#endif

#endif
