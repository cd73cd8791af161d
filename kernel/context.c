// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/context.h"

#include <linux/skmsg.h>
#include <linux/slab.h>

#include "kernel/room.h"

/*
 * A socket's own proto and ops with our calls in them. There are two in practice,
 * for IPv4 and IPv6; they last as long as the module.
 */
struct table {
	struct list_head list;
	struct proto *base;
	const struct proto_ops *base_ops;
	struct proto proto;
	struct proto_ops ops;
};

static LIST_HEAD(tables);
static DEFINE_MUTEX(tables_lock);

static int refuse_disconnect(struct sock *sk, int flags)
{
	return -EOPNOTSUPP;
}

static void ktls_close(struct sock *sk, long timeout);
static int ktls_shutdown(struct socket *sock, int how);

static struct table *make_table(struct proto *base, const struct proto_ops *base_ops)
{
	struct table *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;
	t->base = base;
	t->base_ops = base_ops;
	t->proto = *base;
	t->proto.setsockopt = ktls_setsockopt;
	t->proto.getsockopt = ktls_getsockopt;
	t->proto.disconnect = refuse_disconnect;
	t->proto.close = ktls_close;
	t->proto.sendmsg = ktls_sendmsg;
	t->proto.recvmsg = ktls_recvmsg;
	t->proto.splice_eof = ktls_splice_eof;
	t->proto.sock_is_readable = ktls_is_readable;
	t->ops = *base_ops;
	t->ops.shutdown = ktls_shutdown;
	t->ops.poll = ktls_poll;
	t->ops.set_rcvlowat = ktls_set_rcvlowat;
	t->ops.splice_read = ktls_splice_read;
	t->ops.read_sock = ktls_read_sock;
	t->ops.sendmsg_locked = ktls_sendmsg_locked;
#ifdef COMPAT_HAS_SENDPAGE
	t->proto.sendpage = ktls_sendpage;
	t->ops.sendpage_locked = ktls_sendpage_locked;
#endif
	list_add(&t->list, &tables);
	return t;
}

static struct table *find_table(struct proto *base, const struct proto_ops *base_ops)
{
	struct table *t;

	mutex_lock(&tables_lock);
	list_for_each_entry (t, &tables, list)
		if (t->base == base && t->base_ops == base_ops)
			goto found;
	t = make_table(base, base_ops);
found:
	mutex_unlock(&tables_lock);
	return t;
}

void ktls_forget_tables(void)
{
	struct table *t, *next;

	list_for_each_entry_safe (t, next, &tables, list) {
		list_del(&t->list);
		kfree(t);
	}
}

/* BPF's sockmap has taken the socket over: two masters are one too many. */
static bool is_in_sockmap(struct sock *sk)
{
	bool yes;

	rcu_read_lock();
	yes = sk_psock(sk);
	rcu_read_unlock();
	return yes;
}

static struct ktls *make_context(struct sock *sk)
{
	struct ktls *k = kzalloc(sizeof(*k), GFP_KERNEL);

	if (!k)
		return NULL;
	k->core.sk_proto = sk->sk_prot;
	k->core.sk = sk;
	k->sk = sk;
	k->proto = sk->sk_prot;
	k->ops = sk->sk_socket->ops;
	tls_tx_init(&k->tx.engine);
	tls_rx_init(&k->rx.engine);
	turn_init(&k->tx.turn);
	turn_init(&k->rx.turn);
	INIT_DELAYED_WORK(&k->tx.work, transmit_work);
	INIT_DELAYED_WORK(&k->rx.work, ktls_rx_work);
	return k;
}

int ktls_attach(struct sock *sk)
{
	struct table *t;
	struct ktls *k;

	if (sk->sk_state != TCP_ESTABLISHED)
		return -ENOTCONN;
	if (!sk->sk_socket || is_in_sockmap(sk))
		return -EINVAL;
	t = find_table(sk->sk_prot, sk->sk_socket->ops);
	k = t ? make_context(sk) : NULL;
	if (!k)
		return -ENOMEM;
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, k);
	/* Both are read without the lock: who sees one finds the context. */
	smp_store_release(&sk->sk_socket->ops, &t->ops);
	smp_store_release(&sk->sk_prot, &t->proto);
	return 0;
}

void ktls_hook_tx(struct ktls *k)
{
	struct sock *sk = k->sk;

	write_lock_bh(&sk->sk_callback_lock);
	k->tx.write_space = sk->sk_write_space;
	WRITE_ONCE(sk->sk_write_space, transmit_write_space);
	write_unlock_bh(&sk->sk_callback_lock);
	stats_add(sk, TLS_STAT_TX_SW, 1);
	stats_add(sk, TLS_STAT_CURR_TX_SW, 1);
}

void ktls_hook_rx(struct ktls *k)
{
	struct sock *sk = k->sk;

	write_lock_bh(&sk->sk_callback_lock);
	k->rx.data_ready = sk->sk_data_ready;
	WRITE_ONCE(sk->sk_data_ready, ktls_data_ready);
	write_unlock_bh(&sk->sk_callback_lock);
	stats_add(sk, TLS_STAT_RX_SW, 1);
	stats_add(sk, TLS_STAT_CURR_RX_SW, 1);
}

/* From now on the socket is plain TCP's again; nothing calls us any more. */
static void unhook(struct ktls *k)
{
	struct sock *sk = k->sk;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_write_space == transmit_write_space)
		WRITE_ONCE(sk->sk_write_space, k->tx.write_space);
	if (sk->sk_data_ready == ktls_data_ready)
		WRITE_ONCE(sk->sk_data_ready, k->rx.data_ready);
	write_unlock_bh(&sk->sk_callback_lock);
	WRITE_ONCE(sk->sk_prot, k->proto);
	/* Also that: BPF programs set options while TCP closes. */
	WRITE_ONCE(sk->sk_socket->ops, k->ops);
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, NULL);
}

static void free_context(struct ktls *k)
{
	if (tls_tx_is_set(&k->tx.engine))
		stats_add(k->sk, TLS_STAT_CURR_TX_SW, -1);
	if (tls_rx_is_set(&k->rx.engine))
		stats_add(k->sk, TLS_STAT_CURR_RX_SW, -1);
	aead_free(k->tx.aead);
	aead_free(k->rx.aead);
	memzero_explicit(&k->tx.engine.keys, sizeof(k->tx.engine.keys));
	memzero_explicit(&k->rx.engine.keys, sizeof(k->rx.engine.keys));
	kfree_rcu(k, rcu);
}

/* What was accepted could not be handed to TCP: the peer gets no clean end. */
static void spoil_end(struct sock *sk)
{
	sock_set_flag(sk, SOCK_LINGER);
	sk->sk_lingertime = 0;
}

static void ktls_close(struct sock *sk, long timeout)
{
	struct ktls *k = ktls_of(sk);
	struct proto *proto = k->proto;

	lock_sock(sk);
	if (transmit_last(k))
		spoil_end(sk);
	unhook(k);
	release_sock(sk);
	cancel_delayed_work_sync(&k->tx.work);
	cancel_delayed_work_sync(&k->rx.work);
	lock_sock(sk);
	transmit_free(k);
	receive_free(k);
	release_sock(sk);
	free_context(k);
	proto->close(sk, timeout);
}

/* The proto's shutdown() would be too late: it finds the socket shut already. */
static int ktls_shutdown(struct socket *sock, int how)
{
	struct sock *sk = sock->sk;
	struct ktls *k = ktls_of(sk);

	if (how == SHUT_WR || how == SHUT_RDWR) {
		lock_sock(sk);
		if (transmit_last(k))
			spoil_end(sk);
		release_sock(sk);
	}
	return k->ops->shutdown(sock, how);
}
