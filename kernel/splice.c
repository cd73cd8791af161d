// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plaintext to a pipe, or to a user in the kernel: by reference. */
#include <linux/fs.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>

#include "kernel/room.h"

struct filling {
	struct splice_pipe_desc spd;
	struct page *pages[PAGES_MAX * 2];
	struct partial_page partial[PAGES_MAX * 2];
};

static void release_page(struct splice_pipe_desc *spd, unsigned int i)
{
	put_page(spd->pages[i]);
}

/* A pipe's buffer lies in one page, ours may go over several. */
static int fill_piece(void *arg, struct page *page, size_t off, size_t len)
{
	struct splice_pipe_desc *spd = arg;

	while (len) {
		size_t in = off % PAGE_SIZE, part = min_t(size_t, len, PAGE_SIZE - in);
		struct page *p = page + off / PAGE_SIZE;
		int i = spd->nr_pages;

		if (i == spd->nr_pages_max)
			return -EAGAIN;
		get_page(p);
		spd->pages[i] = p;
		spd->partial[i].offset = in;
		spd->partial[i].len = part;
		spd->nr_pages++;
		off += part;
		len -= part;
	}
	return 0;
}

/* The held record into the pipe: bytes that it took, or negative errno. */
static ssize_t held_to_pipe(struct ktls *k, struct pipe_inode_info *pipe, size_t len)
{
	struct ktls_rx *rx = &k->rx;
	struct filling *f = kzalloc(sizeof(*f), GFP_KERNEL);
	ssize_t n;

	if (!f)
		return -ENOMEM;
	f->spd.pages = f->pages;
	f->spd.partial = f->partial;
	f->spd.nr_pages_max = ARRAY_SIZE(f->pages);
	f->spd.ops = &nosteal_pipe_buf_ops;
	f->spd.spd_release = release_page;
	pages_each(&rx->held, rx->held_off, min(len, rx->held_len), fill_piece, &f->spd);
	n = splice_to_pipe(pipe, &f->spd);
	kfree(f);
	if (n > 0)
		receive_consume(k, n);
	return n;
}

/* The next record with data in it is held: 0, 1: the end, or negative errno. */
static int await_data(struct ktls *k, long *timeo)
{
	int err;

	for (;;) {
		err = receive_hold(k, false);
		if (err == -EAGAIN)
			err = recv_wait(k, timeo);
		else if (!err && k->rx.held_type != TLSULP_DATA)
			return -EINVAL;
		else if (!err && k->rx.held_len)
			return 0;
		else if (!err)
			receive_consume(k, 0);
		if (err)
			return err;
	}
}

static int hold_data(struct ktls *k, long *timeo)
{
	bool waits = *timeo;
	int err = turn_take(&k->rx.turn, k->sk, timeo);

	if (err)
		return err;
	err = await_data(k, timeo);
	turn_give(&k->rx.turn, waits);
	return err;
}

ssize_t ktls_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
			 size_t len, unsigned int flags)
{
	struct sock *sk = sock->sk;
	struct ktls *k = ktls_of(sk);
	ssize_t ret;
	long timeo;

	if (!tls_rx_is_set(&k->rx.engine))
		return k->ops->splice_read(sock, ppos, pipe, len, flags);
	lock_sock(sk);
	timeo = sock_rcvtimeo(sk, sock->file->f_flags & O_NONBLOCK || flags & SPLICE_F_NONBLOCK);
	ret = hold_data(k, &timeo);
	if (ret > 0)
		ret = 0;
	else if (!ret)
		ret = held_to_pipe(k, pipe, len);
	receive_end(k);
	release_sock(sk);
	return ret;
}

static int add_frag(void *arg, struct page *page, size_t off, size_t len)
{
	struct sk_buff *skb = arg;

	get_page(page);
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, off, len, len);
	return 0;
}

/* The held record as a buffer for @actor: bytes that it took, or negative errno. */
static int held_to_actor(struct ktls *k, read_descriptor_t *desc, sk_read_actor_t actor)
{
	struct ktls_rx *rx = &k->rx;
	struct sk_buff *skb = alloc_skb(0, k->sk->sk_allocation);
	int used;

	if (!skb)
		return -ENOMEM;
	pages_each(&rx->held, rx->held_off, rx->held_len, add_frag, skb);
	used = actor(desc, skb, 0, rx->held_len);
	kfree_skb(skb);
	if (used > 0)
		receive_consume(k, min_t(size_t, used, rx->held_len));
	return used;
}

/* Under the socket's lock. Where nobody may sleep, nothing can be opened. */
int ktls_read_sock(struct sock *sk, read_descriptor_t *desc, sk_read_actor_t actor)
{
	struct ktls *k = ktls_of(sk);
	long timeo = 0;
	int done = 0, ret = 0;

	if (!tls_rx_is_set(&k->rx.engine))
		return k->ops->read_sock(sk, desc, actor);
	if (in_softirq())
		return -EOPNOTSUPP;
	while (!ret && desc->count) {
		ret = hold_data(k, &timeo);
		if (ret)
			break;
		ret = held_to_actor(k, desc, actor);
		if (ret <= 0)
			break;
		done += ret;
		ret = 0;
	}
	receive_end(k);
	return done || ret > 0 ? done : ret;
}
