// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A record is begun only while the socket has room. It is sealed from the caller's
 * pages into fresh ones, which go to TCP by reference. From then on it counts as sent:
 * what TCP does not take of it (one record's rest at most) goes first the next
 * time, and a worker sends it when there is room.
 */
#include <linux/oom.h>

#include "kernel/room.h"

#define TCP_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#define REFERENCE_MIN 2048 /* a shorter text is copied: that costs less than to get its pages */
#define RETRY (HZ / 50) /* memory was short: no ack will come to tell when it is not */
#define END_ROOM 65536 /* for two records */
#define END_TRIES 50 /* a second in all */

/* The memory that waits in the context is the socket's: asked for by the record. */
static bool charge(struct ktls *k, size_t n)
{
	struct sock *sk = k->sk;

	if (sk->sk_forward_alloc < (int)n && !sk_wmem_schedule(sk, TLS_PAYLOAD_MAX) &&
	    !sk_wmem_schedule(sk, n))
		return false;
	sk_mem_charge(sk, n);
	k->tx.charged += n;
	return true;
}

static void uncharge(struct ktls *k, size_t n)
{
	sk_mem_uncharge(k->sk, n);
	k->tx.charged -= n;
}

/* Nothing goes out any more. TCP would say why, but only once: that is for the program's calls. */
static bool is_broken(const struct sock *sk)
{
	return sk->sk_err || sk->sk_shutdown & SEND_SHUTDOWN;
}

/* Bytes that TCP took of @p, from *@done on, or negative errno. */
static int write_some(struct ktls *k, struct pages *p, size_t done, bool more)
{
	size_t left = p->len - done;
	unsigned int i = 0;
	int ret;

	while (done >= p->v[i].bv_len)
		done -= p->v[i++].bv_len;
	k->tx.writing = true;
	ret = compat_tcp_send(k->sk, p->v + i, p->n - i, done, left,
			      TCP_FLAGS | (more ? MSG_MORE : 0));
	k->tx.writing = false;
	return ret;
}

/* The rest has to wait. Without anything in flight only time can help. */
static void wait_for_room(struct ktls *k)
{
	set_bit(SOCK_NOSPACE, &k->sk->sk_socket->flags);
	if (tcp_rtx_and_write_queues_empty(k->sk))
		schedule_delayed_work(&k->tx.work, RETRY);
}

int transmit_rest(struct ktls *k)
{
	struct ktls_tx *tx = &k->tx;
	int n;

	if (likely(!tx->rest.len))
		return 0;
	if (is_broken(k->sk))
		return -EPIPE;
	n = write_some(k, &tx->rest, tx->rest_done, false);
	if (n < 0 && n != -EAGAIN)
		return n;
	if (n > 0) {
		uncharge(k, n);
		tx->rest_done += n;
	}
	if (tx->rest_done < tx->rest.len) {
		wait_for_room(k);
		return -EAGAIN;
	}
	pages_free(&tx->rest);
	return 0;
}

/* TCP has taken @n bytes of the record: the rest becomes the context's. */
static void keep_rest(struct ktls *k, struct pages *wire, int n)
{
	struct ktls_tx *tx = &k->tx;

	tx->rest = *wire;
	tx->rest_done = max(n, 0);
	/* Room for all of the record was had before it was sealed. */
	sk_mem_charge(k->sk, wire->len - tx->rest_done);
	tx->charged += wire->len - tx->rest_done;
	wait_for_room(k);
}

/* Seal @text as record @r into @wire: 0 or negative errno, and nothing has changed. */
static int seal(struct ktls *k, const struct tls_record *r, const struct pages *text,
		struct pages *wire)
{
	struct aead *a = k->tx.aead;
	int err = pages_grow(wire, k->sk, sk_page_frag(k->sk), r->wire_len);

	if (err)
		return err;
	pages_write(wire, 0, r->prefix, r->prefix_len);
	aead_begin(a, r);
	err = pages_each(text, 0, text->len, aead_from, a);
	if (!err && r->inner_len)
		err = aead_from_byte(a, r->inner_type);
	if (!err)
		err = pages_each(wire, r->prefix_len, r->wire_len - r->prefix_len, aead_to, a);
	if (!err)
		err = aead_seal(a, text->len + r->inner_len);
	if (err)
		pages_free(wire);
	return err;
}

/* One record out of @text: 0, or negative errno, and nothing has changed. */
static int send_record(struct ktls *k, u8 type, const struct pages *text, bool more)
{
	struct ktls_tx *tx = &k->tx;
	struct pages wire;
	struct tls_record r;
	int n, err;

	if (is_broken(k->sk))
		return -EPIPE;
	err = tls_tx_plan(&tx->engine, 0, type, text->len, &r);
	if (err) {
		tls_tx_fail(&tx->engine, err);
		return err;
	}
	if (!sk_wmem_schedule(k->sk, r.wire_len))
		return -ENOMEM;
	wire.n = wire.len = 0;
	err = seal(k, &r, text, &wire);
	if (err)
		return err;
	tls_tx_commit(&tx->engine, 1);
	n = write_some(k, &wire, 0, more);
	if (n == wire.len)
		pages_free(&wire);
	else
		keep_rest(k, &wire, n);
	return 0;
}

static void open_done(struct ktls *k)
{
	uncharge(k, k->tx.engine.open_len);
	pages_free(&k->tx.open);
	k->tx.engine.open_len = 0;
	k->tx.open_ends = false;
}

static int send_open(struct ktls *k)
{
	int err = send_record(k, TLSULP_DATA, &k->tx.open, false);

	if (!err)
		open_done(k);
	return err;
}

int transmit_open(struct ktls *k)
{
	int err = transmit_rest(k);

	if (err || !k->tx.engine.open_len)
		return err;
	err = send_open(k);
	if (err)
		return err;
	return k->tx.rest.len ? -EAGAIN : 0;
}

void transmit_open_soon(struct ktls *k)
{
	if (!transmit_open(k) || !k->tx.engine.open_len)
		return;
	k->tx.open_ends = true;
	schedule_delayed_work(&k->tx.work, RETRY);
}

/* MSG_MORE: the bytes join the open record. In a page of the socket's own they lie in a row. */
static int gather(struct ktls *k, struct iov_iter *from, size_t n, bool by_reference)
{
	int err;

	if (is_broken(k->sk))
		return -EPIPE;
	if (!charge(k, n))
		return -ENOMEM;
	err = pages_append(&k->tx.open, k->sk, &k->sk->sk_frag, from, n, by_reference);
	if (err)
		uncharge(k, n);
	else
		k->tx.engine.open_len += n;
	return err;
}

/* The open record and @n bytes more are a record. */
static int finish(struct ktls *k, struct iov_iter *from, size_t n, u8 type, bool more,
		  bool by_reference)
{
	struct pages *text = &k->tx.open;
	size_t open = text->len;
	int err;

	if (n >= REFERENCE_MIN && user_backed_iter(from))
		by_reference = true;
	err = pages_append(text, k->sk, sk_page_frag(k->sk), from, n, by_reference);
	if (err)
		return err;
	err = send_record(k, type, text, more);
	if (err) {
		iov_iter_revert(from, n);
		pages_cut(text, open);
		return err;
	}
	open_done(k);
	return 0;
}

int transmit(struct ktls *k, struct iov_iter *from, int type, bool more, bool by_reference)
{
	struct ktls_tx *tx = &k->tx;
	u8 record_type = type == TRANSMIT_JOIN ? TLSULP_DATA : type;
	size_t left = iov_iter_count(from);
	int err;

	/* Nothing to send and no record to end: what an earlier call left does not matter. */
	if (!left && (type == TRANSMIT_JOIN || !tx->engine.open_len))
		return 0;
	err = transmit_rest(k);
	if (!err && type != TRANSMIT_JOIN)
		err = transmit_open(k);
	while (!err && left) {
		bool ends;
		size_t n = tls_tx_next(&tx->engine, tx->engine.open_len, left, more, &ends);

		if (!tx->engine.open_len && !sk_stream_memory_free(k->sk))
			err = -EAGAIN;
		else if (ends)
			err = finish(k, from, n, record_type, left > n, by_reference);
		else
			err = gather(k, from, n, by_reference);
		left = iov_iter_count(from);
		if (!err && tx->rest.len)
			err = -EAGAIN;
	}
	return err;
}

int transmit_end(struct ktls *k)
{
	struct sock *sk = k->sk;
	struct tcp_sock *tp = tcp_sk(sk);
	u32 lowat = tp->notsent_lowat;
	int room = sk->sk_sndbuf, err;

	if (!k->tx.rest.len && !k->tx.engine.open_len)
		return 0;
	/* TCP asks both for room. */
	WRITE_ONCE(sk->sk_sndbuf, max(room, sk->sk_wmem_queued) + END_ROOM);
	WRITE_ONCE(tp->notsent_lowat, UINT_MAX);
	err = transmit_open(k);
	WRITE_ONCE(tp->notsent_lowat, lowat);
	WRITE_ONCE(sk->sk_sndbuf, room);
	return err;
}

/* Who is killed because memory is short is not to wait for it. */
static bool may_come(int err)
{
	return (err == -ENOMEM || err == -EAGAIN) && !tsk_is_oom_victim(current);
}

/* TCP wants memory of its own for what it takes: none that was set aside before could help. */
int transmit_last(struct ktls *k)
{
	int err = transmit_end(k);

	for (int i = 0; i < END_TRIES && may_come(err); i++) {
		release_sock(k->sk);
		schedule_timeout_uninterruptible(RETRY);
		lock_sock(k->sk);
		err = transmit_end(k);
	}
	return err;
}

void transmit_work(struct work_struct *work)
{
	struct ktls *k = container_of(work, struct ktls, tx.work.work);

	lock_sock(k->sk);
	if ((k->tx.open_ends ? transmit_open(k) : transmit_rest(k)) == -ENOMEM)
		schedule_delayed_work(&k->tx.work, RETRY);
	release_sock(k->sk);
}

/* In softirq, or from inside TCP's send under the lock. */
void transmit_write_space(struct sock *sk)
{
	struct ktls *k = ktls_of(sk);

	if (k->tx.rest.len && !k->tx.writing)
		schedule_delayed_work(&k->tx.work, 0);
	k->tx.write_space(sk);
}

void transmit_free(struct ktls *k)
{
	pages_free(&k->tx.open);
	pages_free(&k->tx.rest);
	uncharge(k, k->tx.charged);
	k->tx.engine.open_len = 0;
}
