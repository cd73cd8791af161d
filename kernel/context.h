/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ULP's part of a socket: its state, made by TCP_ULP and ended by close.
 * Everything in it is the socket lock's (lock_sock()), but for what is marked.
 */
#ifndef TLSULP_KERNEL_CONTEXT_H
#define TLSULP_KERNEL_CONTEXT_H

#include <linux/workqueue.h>
#include <net/inet_connection_sock.h>
#include <net/tls.h>

#include "engine/rx.h"
#include "engine/tx.h"
#include "kernel/aead.h"
#include "kernel/compat.h"
#include "kernel/pages.h"
#include "kernel/turn.h"

struct ktls_tx {
	struct tls_tx engine;
	struct aead *aead;
	struct pages open; /* plaintext that MSG_MORE gathered: engine.open_len bytes */
	struct pages rest; /* a sealed record that TCP has taken in part */
	size_t rest_done; /* how much of it */
	size_t charged; /* for open and rest, with the socket */
	bool open_ends; /* the open record is to go, and waits for memory */
	bool writing; /* TCP is being called: it may call write_space() */
	void (*write_space)(struct sock *sk);
	struct delayed_work work; /* sends the rest, and an open record that ends */
	struct turn turn;
};

struct ktls_rx {
	struct tls_rx engine;
	struct aead *aead;
	size_t wire_len; /* of the record that comes next; 0: not known yet */
	struct pages part; /* room for it, where the window is too small for the whole */
	size_t part_len; /* its begin, which has left the queue */
	int lowat; /* SO_RCVLOWAT meanwhile; else 0: the socket knows */
	struct pages held; /* plaintext from held_off on */
	size_t held_off, held_len, held_total;
	size_t charged; /* for part and held, with the socket */
	u8 held_type, held_first;
	bool is_held;
	u8 detours; /* so many records more are not opened straight to the caller */
	bool ready; /* a read returns at once. Also read without the lock */
	int pending_error; /* to be reported once */
	void (*data_ready)(struct sock *sk);
	struct delayed_work work; /* takes a part out of the queue */
	struct turn turn;
};

struct ktls {
	struct tls_context core; /* first: TCP and BPF code looks at it */
	struct sock *sk;
	struct proto *proto; /* the socket's own */
	const struct proto_ops *ops;
	struct ktls_tx tx;
	struct ktls_rx rx;
	struct rcu_head rcu; /* socket diagnosis reads it without the lock */
};

static inline struct ktls *ktls_of(const struct sock *sk)
{
	/* Who came here by a table of ours, without the lock, finds the context: ktls_attach(). */
	smp_rmb();
	return (__force struct ktls *)inet_csk(sk)->icsk_ulp_data;
}

/* tcp_ulp_ops.init: 0, -ENOTCONN, -EINVAL (a socket of a sockmap), -ENOMEM. */
int ktls_attach(struct sock *sk);

/* After the last socket: proto and ops tables. */
void ktls_forget_tables(void);

/* The first key of a direction was set: be called when the socket has data, or room. */
void ktls_hook_tx(struct ktls *k);
void ktls_hook_rx(struct ktls *k);

#endif
