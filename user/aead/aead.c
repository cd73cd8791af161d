// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/aead/aead.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "user/aead/provider.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SLOT_ALIGN 64
#define SLAB_LEN ((size_t)64 << 10)

struct aead_key {
	const struct aead_provider *provider;
	const struct aead_cipher *cipher;
	_Alignas(SLOT_ALIGN) uint8_t state[];
};

#define SLOT_MAX (sizeof(struct aead_key) + AEAD_STATE_MAX)

struct free_slot {
	struct free_slot *next;
};

/* Key objects of one size. Slabs are never given back: a busy server needs them again. */
struct pool {
	struct free_slot *free;
	uint8_t *fresh; /* the part of the newest slab that was never used */
	size_t fresh_len;
};

/*
 * In order of preference, which for a cipher that is_slow() comes after all others. Of SM4 and
 * ARIA libgcrypt is many times faster than libcrypto.
 */
static const struct aead_provider *const providers[] = { &aead_ipsec_mb, &aead_libgcrypt,
							 &aead_libcrypto };

/* The one lock of this room; taken only where a key is made or freed, never to use it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void take_lock(void)
{
	pthread_mutex_lock(&lock);
}

static void drop_lock(void)
{
	pthread_mutex_unlock(&lock);
}

/* Another thread may be in here when the process forks: the child gets the lock free. */
__attribute__((constructor)) static void hold_over_fork(void)
{
	pthread_atfork(take_lock, drop_lock, drop_lock);
}
static struct {
	bool tried;
	int status;
} loads[ARRAY_SIZE(providers)];
static struct {
	bool read;
	char name[16];
} forced;
static struct pool pools[SLOT_MAX / SLOT_ALIGN + 1];

static size_t slot_len(const struct aead_cipher *cipher)
{
	size_t len = sizeof(struct aead_key) + cipher->state_len;

	return (len + SLOT_ALIGN - 1) & ~(size_t)(SLOT_ALIGN - 1);
}

static bool slab_add(struct pool *pool)
{
	void *slab =
		mmap(NULL, SLAB_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slab == MAP_FAILED)
		return false;
	if (madvise(slab, SLAB_LEN, MADV_DONTDUMP) != 0) {
		munmap(slab, SLAB_LEN);
		return false;
	}
	pool->fresh = slab;
	pool->fresh_len = SLAB_LEN;
	return true;
}

static void *slot_get_locked(size_t len)
{
	struct pool *pool = &pools[len / SLOT_ALIGN];
	struct free_slot *slot = pool->free;

	if (slot) {
		pool->free = slot->next;
		slot->next = NULL;
		return slot;
	}
	if (pool->fresh_len < len && !slab_add(pool))
		return NULL;
	slot = (void *)pool->fresh;
	pool->fresh += len;
	pool->fresh_len -= len;
	return slot;
}

static void *slot_get(size_t len)
{
	void *slot;

	pthread_mutex_lock(&lock);
	slot = slot_get_locked(len);
	pthread_mutex_unlock(&lock);
	return slot;
}

static void slot_put(struct free_slot *slot, size_t len)
{
	struct pool *pool = &pools[len / SLOT_ALIGN];

	explicit_bzero(slot, len);
	pthread_mutex_lock(&lock);
	slot->next = pool->free;
	pool->free = slot;
	pthread_mutex_unlock(&lock);
}

static int provider_load(int index)
{
	int status;

	pthread_mutex_lock(&lock);
	if (!loads[index].tried) {
		loads[index].status = providers[index]->load();
		loads[index].tried = true;
	}
	status = loads[index].status;
	pthread_mutex_unlock(&lock);
	return status;
}

/* Read once: later changes of the environment must not race with other threads. */
static bool provider_allowed(int index)
{
	bool allowed;

	pthread_mutex_lock(&lock);
	if (!forced.read) {
		const char *name = secure_getenv("TLSULP_AEAD");

		/* A name cut short here is no provider's either. */
		if (name)
			strncpy(forced.name, name, sizeof(forced.name) - 1);
		forced.read = true;
	}
	allowed = !forced.name[0] || strcmp(forced.name, providers[index]->name) == 0;
	pthread_mutex_unlock(&lock);
	return allowed;
}

/* Of a library that need not be loaded for what it never has; NULL: not there. */
static const struct aead_cipher *cipher_find(int index, uint16_t type)
{
	const struct aead_provider *p = providers[index];

	for (int i = 0; i < p->cipher_cnt; i++)
		if (p->ciphers[i].type == type)
			return !provider_load(index) && (!p->has || p->has(type)) ? &p->ciphers[i]
										  : NULL;
	return NULL;
}

static bool index_ok(int index)
{
	return index >= 0 && (size_t)index < ARRAY_SIZE(providers);
}

static struct aead_key *key_alloc(const struct aead_provider *p, const struct aead_cipher *c)
{
	struct aead_key *k = slot_get(slot_len(c));

	if (!k)
		return NULL;
	k->provider = p;
	k->cipher = c;
	if (c->create && c->create(k->state, c->type) != 0) {
		slot_put((void *)k, slot_len(c));
		return NULL;
	}
	return k;
}

size_t aead_gather(uint8_t *out, const struct iovec *in, int in_cnt)
{
	size_t len = 0;

	for (int i = 0; i < in_cnt; i++) {
		if (in[i].iov_len != 0 && in[i].iov_base != out + len)
			memcpy(out + len, in[i].iov_base, in[i].iov_len);
		len += in[i].iov_len;
	}
	return len;
}

int aead_key_new_from(int index, uint16_t cipher_type, const uint8_t *key, struct aead_key **out)
{
	const struct aead_cipher *cipher;
	struct aead_key *k;

	cipher = index_ok(index) ? cipher_find(index, cipher_type) : NULL;
	if (!cipher)
		return -ENOENT;
	k = key_alloc(providers[index], cipher);
	if (!k)
		return -ENOMEM;
	/* The first key of a fresh object is refused only for want of memory. */
	if (cipher->set_key(k->state, key) != 0) {
		aead_key_free(k);
		return -ENOMEM;
	}
	*out = k;
	return 0;
}

int aead_key_new(uint16_t cipher_type, const uint8_t *key, struct aead_key **out)
{
	int ret = -ENOENT;

	for (int slow = 0; slow < 2; slow++)
		for (size_t i = 0; i < ARRAY_SIZE(providers) && ret == -ENOENT; i++)
			if (provider_allowed(i) && aead_provider_is_slow(i, cipher_type) == slow)
				ret = aead_key_new_from(i, cipher_type, key, out);
	return ret;
}

int aead_key_set(struct aead_key *k, const uint8_t *key)
{
	return k->cipher->set_key(k->state, key);
}

void aead_key_free(struct aead_key *k)
{
	if (!k)
		return;
	if (k->cipher->destroy)
		k->cipher->destroy(k->state);
	slot_put((void *)k, slot_len(k->cipher));
}

int aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], const uint8_t *aad,
	      size_t aad_len, const struct iovec *in, int in_cnt, uint8_t *out)
{
	return k->cipher->seal(k->state, nonce, aad, aad_len, in, in_cnt, out);
}

int aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], const uint8_t *aad,
	      size_t aad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	int ret = k->cipher->open(k->state, nonce, aad, aad_len, in, len, out);

	/* What was not authenticated must not be seen (RFC 5116 section 2.2). */
	if (ret != 0 && len != 0)
		memset(out, 0, len);
	return ret;
}

const char *aead_key_provider(const struct aead_key *k)
{
	return k->provider->name;
}

const char *aead_provider_name(int index)
{
	return index_ok(index) ? providers[index]->name : NULL;
}

int aead_provider_usable(int index)
{
	return index_ok(index) ? provider_load(index) : -ENOENT;
}

bool aead_provider_has(int index, uint16_t cipher_type)
{
	return index_ok(index) && cipher_find(index, cipher_type);
}

bool aead_provider_is_slow(int index, uint16_t cipher_type)
{
	return aead_provider_has(index, cipher_type) && providers[index]->is_slow &&
	       providers[index]->is_slow(cipher_type);
}

const char *aead_provider_version(int index)
{
	return aead_provider_usable(index) == 0 ? providers[index]->version() : NULL;
}

const char *aead_provider_hint(int index)
{
	return index_ok(index) ? providers[index]->package : NULL;
}
