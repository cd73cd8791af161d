/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this folder offer to each other. */
#ifndef TLSULP_KERNEL_ROOM_H
#define TLSULP_KERNEL_ROOM_H

#include "engine/stats.h"
#include "kernel/context.h"

/* send.c: the calls */
int ktls_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
int ktls_sendmsg_locked(struct sock *sk, struct msghdr *msg, size_t size);
#ifdef COMPAT_HAS_SENDPAGE
int ktls_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags);
int ktls_sendpage_locked(struct sock *sk, struct page *page, int offset, size_t size, int flags);
#endif
void ktls_splice_eof(struct socket *sock);

/*
 * transmit.c: records to TCP. TRANSMIT_JOIN: plain data, which joins the open record.
 */
#define TRANSMIT_JOIN (-1)

/* What TCP did not take: 0, -EAGAIN, or why not. */
int transmit_rest(struct ktls *k);
/* Also the open record. */
int transmit_open(struct ktls *k);
/* The same where no call will ask again: what cannot go now goes without one. */
void transmit_open_soon(struct ktls *k);
/*
 * Seal what @from has: 0 or negative errno; what is left in @from was not sent. With
 * @by_reference its pages may be kept.
 */
int transmit(struct ktls *k, struct iov_iter *from, int type, bool more, bool by_reference);
/*
 * Everything, whatever room the socket has: 0, -EAGAIN (all is sealed, and the rest waits), or
 * why the open record is still open.
 */
int transmit_end(struct ktls *k);
/* The last time: waits, without the lock, where memory is short. 0, or data is lost. */
int transmit_last(struct ktls *k);
/* At close, what transmit_last() could not send. */
void transmit_free(struct ktls *k);
void transmit_work(struct work_struct *work);
void transmit_write_space(struct sock *sk);

/* queue.c: TCP's receive queue, @off bytes after what was read last */
size_t queue_len(const struct sock *sk);
int queue_read(struct sock *sk, size_t off, void *to, size_t len);
/* -EMSGSIZE: in too many pieces, or in pages that may change. The caller copies it first. */
int queue_map(struct sock *sk, size_t off, size_t len, struct aead *a);
void queue_drop(struct sock *sk, size_t len);
/* No more comes until something is taken out. */
bool queue_is_full(const struct sock *sk);

/* receive.c: records out of the queue */
struct rx_request {
	struct msghdr *msg; /* where plaintext and record type go */
	struct tls_rx_call call;
	size_t done;
};

enum {
	RX_ADMITTED = 1, /* inside receive.c only: this record may be returned */
	RX_STOP, /* the call is complete: another type follows, or a control record was returned */
};

/*
 * Move what is there into the request: 0 (its room is used up), RX_STOP, -EAGAIN
 * (no whole record is there), or the errno of a read that returned nothing more.
 */
int receive(struct ktls *k, struct rx_request *rq);
/* The same for MSG_PEEK: nothing is consumed. */
int receive_peek(struct ktls *k, struct rx_request *rq);
/* Open the next record, unless one is held, and hold it: 0, or as receive(). */
int receive_hold(struct ktls *k, bool peek);
/* @n bytes of the held record were handed out elsewhere. */
void receive_consume(struct ktls *k, size_t n);
/* Tell pollers how it stands; true if a read returns at once. */
bool receive_settle(struct ktls *k);
/*
 * The same at a call's end, before it waits, and with a new key: where the window is too small
 * for the record that comes, its begin leaves the queue so that the end can come.
 */
bool receive_end(struct ktls *k);
/* SO_RCVLOWAT, which the socket does not know while a record's begin has left its queue. */
int receive_set_lowat(struct ktls *k, int lowat);
int receive_lowat(const struct ktls *k);
void receive_free(struct ktls *k);

/* recv.c: the calls */
int ktls_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags COMPAT_RECVMSG_ARGS);
int ktls_set_rcvlowat(struct sock *sk, int lowat);
/* For -EAGAIN: wait for a record. 0: look again; 1: the end; negative errno. */
int recv_wait(struct ktls *k, long *timeo);

/* splice.c: a pipe, or a kernel user, as the sink */
ssize_t ktls_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
			 size_t len, unsigned int flags);
int ktls_read_sock(struct sock *sk, read_descriptor_t *desc, sk_read_actor_t actor);

/* readiness.c */
void ktls_data_ready(struct sock *sk);
__poll_t ktls_poll(struct file *file, struct socket *sock, struct poll_table_struct *wait);
bool ktls_is_readable(struct sock *sk);
void ktls_rx_work(struct work_struct *work);

/* sockopt.c */
int ktls_setsockopt(struct sock *sk, int level, int name, sockptr_t value, unsigned int len);
int ktls_getsockopt(struct sock *sk, int level, int name, char __user *value, int __user *len);

/* info.c */
int ktls_get_info(struct sock *sk, struct sk_buff *skb COMPAT_INFO_ARGS);
size_t ktls_get_info_size(const struct sock *sk COMPAT_INFO_ARGS);

/* stats.c */
int stats_init(void);
void stats_exit(void);
void stats_add(const struct sock *sk, enum tls_stat stat, int n);
int stats_proc_init(void);
void stats_proc_exit(void);

#endif
