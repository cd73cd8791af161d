// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine/options.h"

#define MAX_PAYLOAD_FLOOR_12 64
#define MAX_PAYLOAD_FLOOR_13 63 /* the peer's limit counts the inner type too */

struct info_head {
	uint16_t version;
	uint16_t cipher;
};

static uint64_t get_be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void put_be64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = v;
}

/* The explicit nonce of TLS 1.2 starts at the iv and counts up from there. */
static bool has_explicit_nonce(const struct tls_cipher *c, uint16_t version)
{
	return version == TLSULP_VERSION_1_2 && c->explicit_len;
}

static int check_first(const struct info_head *head, const struct tls_cipher *c,
		       const struct tls_keys *other)
{
	if (head->version == TLSULP_VERSION_1_2 ? !c->tls12 : !c->tls13)
		return -EINVAL;
	if (other->version && (other->version != head->version || other->cipher != head->cipher))
		return -EINVAL;
	return 0;
}

bool tls_options_is_rekey(const struct tls_keys *old)
{
	return old->version == TLSULP_VERSION_1_3;
}

int tls_options_keys(const struct tls_keys *old, const struct tls_keys *other, const void *info,
		     size_t len, struct tls_keys *out)
{
	const uint8_t *p = info;
	const struct tls_cipher *c;
	struct info_head head;
	int err;

	if (!info || len < sizeof(head))
		return -EINVAL;
	if (old->version && !tls_options_is_rekey(old))
		return -EBUSY;
	memcpy(&head, info, sizeof(head));
	if (head.version != TLSULP_VERSION_1_2 && head.version != TLSULP_VERSION_1_3)
		return -EINVAL;
	c = tls_cipher_find(head.cipher);
	if (!c)
		return -EINVAL;
	if (old->version)
		err = old->version == head.version && old->cipher == head.cipher ? 0 : -EINVAL;
	else
		err = check_first(&head, c, other);
	if (err)
		return err;
	if (len != tls_cipher_info_len(c))
		return -EINVAL;

	memset(out, 0, sizeof(*out));
	out->version = head.version;
	out->cipher = head.cipher;
	p += sizeof(head);
	memcpy(out->iv + c->salt_len, p, c->iv_len);
	memcpy(out->key, p + c->iv_len, c->key_len);
	memcpy(out->iv, p + c->iv_len + c->key_len, c->salt_len);
	out->seq = get_be64(p + c->iv_len + c->key_len + c->salt_len);
	if (has_explicit_nonce(c, head.version))
		out->explicit_nonce = get_be64(p);
	return old->version ? 1 : 0;
}

/* The version alone is read without a lock: is there a key (tls_keys_are_set())? */
static void keys_set(struct tls_keys *to, const struct tls_keys *from)
{
	const size_t at = sizeof(to->version);

	_Static_assert(offsetof(struct tls_keys, version) == 0, "what follows it is copied");
	memcpy((uint8_t *)to + at, (const uint8_t *)from + at, sizeof(*to) - at);
	__atomic_store_n(&to->version, from->version, __ATOMIC_RELEASE);
}

void tls_options_set_tx(struct tls_tx *tx, const struct tls_keys *keys)
{
	keys_set(&tx->keys, keys);
	tx->key_gen++;
}

void tls_options_set_rx(struct tls_rx *rx, const struct tls_keys *keys)
{
	keys_set(&rx->keys, keys);
	rx->key_gen++;
	rx->paused = false;
}

int tls_options_get_keys(const struct tls_keys *k, void *info, size_t *len)
{
	struct info_head head = { k->version, k->cipher };
	const struct tls_cipher *c;
	uint8_t *p = info;

	if (*len < sizeof(head))
		return -EINVAL;
	if (!k->version)
		return -EBUSY;
	memcpy(p, &head, sizeof(head));
	if (*len == sizeof(head))
		return 0;
	c = tls_cipher_find(k->cipher);
	if (*len != tls_cipher_info_len(c))
		return -EINVAL;
	p += sizeof(head);
	if (has_explicit_nonce(c, k->version))
		put_be64(p, k->explicit_nonce);
	else
		memcpy(p, k->iv + c->salt_len, c->iv_len);
	memcpy(p + c->iv_len, k->key, c->key_len);
	memcpy(p + c->iv_len + c->key_len, k->iv, c->salt_len);
	put_be64(p + c->iv_len + c->key_len + c->salt_len, k->seq);
	return 0;
}

static int get_flag(const void *val, size_t len, bool *flag)
{
	int v;

	if (!val || len != sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	if (v != 0 && v != 1)
		return -EINVAL;
	*flag = v;
	return 0;
}

int tls_options_set_zerocopy(struct tls_tx *tx, const void *val, size_t len)
{
	return get_flag(val, len, &tx->zerocopy_ro);
}

int tls_options_set_no_pad(struct tls_rx *rx, const void *val, size_t len)
{
	if (rx->keys.version != TLSULP_VERSION_1_3)
		return -EINVAL;
	return get_flag(val, len, &rx->no_pad);
}

int tls_options_get_no_pad(const struct tls_rx *rx, size_t len)
{
	if (rx->keys.version != TLSULP_VERSION_1_3 || len < sizeof(int))
		return -EINVAL;
	return rx->no_pad;
}

int tls_options_set_max_payload(struct tls_tx *tx, const void *val, size_t len)
{
	uint16_t limit, least;

	if (!val || len != sizeof(limit))
		return -EINVAL;
	memcpy(&limit, val, sizeof(limit));
	least = tx->keys.version == TLSULP_VERSION_1_3 ? MAX_PAYLOAD_FLOOR_13
						       : MAX_PAYLOAD_FLOOR_12;
	if (limit < least || limit > TLS_PAYLOAD_MAX)
		return -EINVAL;
	if (tx->open_len)
		return -EBUSY;
	tx->max_payload = limit;
	return 0;
}
