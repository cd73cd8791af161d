// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * TCP's receive queue. What is in it may be shared: on loopback its pages are the
 * sender's own. It is read and never written to.
 */
#include "kernel/room.h"

/* Urgent data counts like any other: a record goes on behind it. */
size_t queue_len(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 n = tp->rcv_nxt - tp->copied_seq;

	/* The FIN takes a number, too. */
	return n && sock_flag(sk, SOCK_DONE) ? n - 1 : n;
}

/* Calls @piece for the buffers with the @len bytes at @off; -EFAULT: they are not all there. */
static int each_skb(struct sock *sk, size_t off, size_t len,
		    int (*piece)(void *arg, struct sk_buff *skb, size_t off, size_t len), void *arg)
{
	u32 seq = tcp_sk(sk)->copied_seq + off;
	struct sk_buff *skb;

	skb_queue_walk (&sk->sk_receive_queue, skb) {
		u32 at = seq - TCP_SKB_CB(skb)->seq;
		size_t part;
		int err;

		if (at >= skb->len)
			continue;
		part = min_t(size_t, len, skb->len - at);
		err = piece(arg, skb, at, part);
		if (err)
			return err;
		seq += part;
		len -= part;
		if (!len)
			return 0;
	}
	return len ? -EFAULT : 0;
}

static int copy_piece(void *arg, struct sk_buff *skb, size_t off, size_t len)
{
	u8 **to = arg;
	int err = skb_copy_bits(skb, off, *to, len);

	*to += len;
	return err;
}

int queue_read(struct sock *sk, size_t off, void *to, size_t len)
{
	return each_skb(sk, off, len, copy_piece, &to);
}

/* Somebody may yet write to its pages: a file's, or those that vmsplice() gave away. */
static bool may_change(struct sk_buff *skb)
{
	struct sk_buff *part;

	if (skb_has_shared_frag(skb))
		return true;
	skb_walk_frags (skb, part)
		if (skb_has_shared_frag(part))
			return true;
	return false;
}

static int map_piece(void *arg, struct sk_buff *skb, size_t off, size_t len)
{
	struct aead *a = arg;
	unsigned int room;
	struct scatterlist *sg = aead_from_table(a, &room);
	int n;

	/* What the tag is checked of and what is opened must be the same. */
	if (!room || may_change(skb))
		return -EMSGSIZE;
	n = skb_to_sgvec_nomark(skb, sg, off, len);
	if (n < 0)
		return n;
	a->from_n += n;
	return 0;
}

int queue_map(struct sock *sk, size_t off, size_t len, struct aead *a)
{
	return len ? each_skb(sk, off, len, map_piece, a) : 0;
}

void queue_drop(struct sock *sk, size_t len)
{
	tcp_read_done(sk, len);
}

bool queue_is_full(const struct sock *sk)
{
	return tcp_rmem_pressure(sk) ||
	       tcp_receive_window(tcp_sk(sk)) <= inet_csk(sk)->icsk_ack.rcv_mss;
}
