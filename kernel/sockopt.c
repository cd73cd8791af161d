// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* SOL_TLS; all other options are the socket's own. */
#include "engine/options.h"
#include "kernel/room.h"

static void count_rekey(const struct sock *sk, bool tx, bool ok)
{
	if (tx)
		stats_add(sk, ok ? TLS_STAT_TX_REKEY_OK : TLS_STAT_TX_REKEY_ERROR, 1);
	else
		stats_add(sk, ok ? TLS_STAT_RX_REKEY_OK : TLS_STAT_RX_REKEY_ERROR, 1);
}

static void install_tx(struct ktls *k, const struct tls_keys *keys, struct aead *aead, bool rekey)
{
	aead_free(k->tx.aead);
	k->tx.aead = aead;
	tls_options_set_tx(&k->tx.engine, keys);
	if (!rekey)
		ktls_hook_tx(k);
}

static void install_rx(struct ktls *k, const struct tls_keys *keys, struct aead *aead, bool rekey)
{
	aead_free(k->rx.aead);
	k->rx.aead = aead;
	tls_options_set_rx(&k->rx.engine, keys);
	if (!rekey)
		ktls_hook_rx(k);
	/* The window may be full already: then no byte comes that would have it settled. */
	if (receive_end(k))
		k->rx.data_ready(k->sk);
}

/* A new TX key: what MSG_MORE gathered is sealed with the old one. */
static int end_open_record(struct ktls *k)
{
	int err = k->tx.engine.open_len ? transmit_end(k) : 0;

	return k->tx.engine.open_len ? err : 0;
}

/* 0, or a negative errno; then nothing has changed. */
static int install(struct ktls *k, bool tx, const struct tls_keys *keys, bool rekey)
{
	int err;
	struct aead *aead = aead_new(keys->cipher, keys->key, &err);

	if (!aead)
		return err;
	if (rekey && tx)
		err = end_open_record(k);
	if (err) {
		aead_free(aead);
		return err;
	}
	if (tx)
		install_tx(k, keys, aead, rekey);
	else
		install_rx(k, keys, aead, rekey);
	return 0;
}

static int set_keys(struct ktls *k, bool tx, sockptr_t value, unsigned int len)
{
	struct tls_keys *old = tx ? &k->tx.engine.keys : &k->rx.engine.keys;
	struct tls_keys *other = tx ? &k->rx.engine.keys : &k->tx.engine.keys;
	bool is_update = tls_options_is_rekey(old);
	u8 info[TLS_KEY_INFO_MAX];
	struct tls_keys keys;
	int err;

	if (sockptr_is_null(value) || len < sizeof(struct tls_crypto_info))
		return -EINVAL;
	if (old->version && !is_update)
		return -EBUSY;
	if (copy_from_sockptr(info, value, min_t(size_t, len, sizeof(info))))
		err = -EFAULT;
	else
		err = tls_options_keys(old, other, info, len, &keys);
	if (err >= 0)
		err = install(k, tx, &keys, is_update);
	if (is_update)
		count_rekey(k->sk, tx, !err);
	memzero_explicit(info, sizeof(info));
	memzero_explicit(&keys, sizeof(keys));
	return err;
}

static int set_small(struct ktls *k, int name, sockptr_t value, unsigned int len)
{
	u32 copy = 0;

	if (sockptr_is_null(value) || len > sizeof(copy))
		return -EINVAL;
	if (copy_from_sockptr(&copy, value, len))
		return -EFAULT;
	switch (name) {
	case TLSULP_TX_ZEROCOPY_RO:
		return tls_options_set_zerocopy(&k->tx.engine, &copy, len);
	case TLSULP_RX_EXPECT_NO_PAD:
		return tls_options_set_no_pad(&k->rx.engine, &copy, len);
	default:
		return tls_options_set_max_payload(&k->tx.engine, &copy, len);
	}
}

static int set(struct ktls *k, int name, sockptr_t value, unsigned int len)
{
	switch (name) {
	case TLSULP_TX:
	case TLSULP_RX:
		return set_keys(k, name == TLSULP_TX, value, len);
	case TLSULP_TX_ZEROCOPY_RO:
	case TLSULP_RX_EXPECT_NO_PAD:
	case TLSULP_TX_MAX_PAYLOAD_LEN:
		return set_small(k, name, value, len);
	default:
		return -ENOPROTOOPT;
	}
}

static int put_value(char __user *value, int __user *len, const void *from, size_t n)
{
	return copy_to_user(value, from, n) || put_user(n, len) ? -EFAULT : 0;
}

static int get_keys(const struct tls_keys *keys, char __user *value, int __user *len, size_t room)
{
	u8 info[TLS_KEY_INFO_MAX];
	int err = value ? tls_options_get_keys(keys, info, &room) : -EINVAL;

	if (!err)
		err = put_value(value, len, info, room);
	memzero_explicit(info, sizeof(info));
	return err;
}

static int get_small(struct ktls *k, int name, char __user *value, int __user *len, size_t room)
{
	int flag = k->tx.engine.zerocopy_ro;

	switch (name) {
	case TLSULP_TX_ZEROCOPY_RO:
		return room == sizeof(flag) ? put_value(value, len, &flag, sizeof(flag)) : -EINVAL;
	case TLSULP_RX_EXPECT_NO_PAD:
		flag = tls_options_get_no_pad(&k->rx.engine, room);
		return flag < 0 ? flag : put_value(value, len, &flag, sizeof(flag));
	default:
		if (room < sizeof(k->tx.engine.max_payload))
			return -EINVAL;
		return put_value(value, len, &k->tx.engine.max_payload,
				 sizeof(k->tx.engine.max_payload));
	}
}

static int get(struct ktls *k, int name, char __user *value, int __user *len, size_t room)
{
	switch (name) {
	case TLSULP_TX:
		return get_keys(&k->tx.engine.keys, value, len, room);
	case TLSULP_RX:
		return get_keys(&k->rx.engine.keys, value, len, room);
	case TLSULP_TX_ZEROCOPY_RO:
	case TLSULP_RX_EXPECT_NO_PAD:
	case TLSULP_TX_MAX_PAYLOAD_LEN:
		return get_small(k, name, value, len, room);
	default:
		return -ENOPROTOOPT;
	}
}

int ktls_setsockopt(struct sock *sk, int level, int name, sockptr_t value, unsigned int len)
{
	struct ktls *k = ktls_of(sk);
	int err;

	if (level != SOL_TLS)
		return k->proto->setsockopt(sk, level, name, value, len);
	lock_sock(sk);
	err = set(k, name, value, len);
	release_sock(sk);
	return err;
}

int ktls_getsockopt(struct sock *sk, int level, int name, char __user *value, int __user *len)
{
	struct ktls *k = ktls_of(sk);
	int room, err;

	if (level != SOL_TLS)
		return k->proto->getsockopt(sk, level, name, value, len);
	if (get_user(room, len))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	lock_sock(sk);
	err = get(k, name, value, len, room);
	release_sock(sk);
	return err;
}
