// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * intel-ipsec-mb by its direct calls. The multi-buffer manager is made once,
 * only to learn which functions suit this CPU, and freed: what is called per
 * record is stateless but for the key schedule and the context given to it.
 *
 * AES-CCM is left to libcrypto. This library has it only as a job of a
 * manager: 200 KB of state that would have to be kept for each key, or shared
 * under a lock that a fault on a bad input pointer leaves held; and one job at
 * a time uses one lane of eight.
 */
#include "user/aead/provider.h"

#include <errno.h>

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <string.h>

#include "engine/uapi.h"

/*
 * The struct IMB_MGR of a major version is its own; OLDEST is the first version that has the
 * members used here where this major version keeps them.
 */
#if IMB_VERSION_NUM >= IMB_VERSION(2, 0, 0)
#define SONAME "libIPSec_MB.so.2"
#define PACKAGE "libipsec-mb2"
#define OLDEST IMB_VERSION(2, 0, 0)
#else
#define SONAME "libIPSec_MB.so.1"
#define PACKAGE "libipsec-mb1"
#define OLDEST IMB_VERSION(1, 3, 0)
#endif

#define CACHE_LINE 64

struct gcm_calls {
	aes_gcm_pre_t pre;
	aes_gcm_enc_dec_t enc;
	aes_gcm_enc_dec_t dec;
	aes_gcm_init_t init;
	aes_gcm_enc_dec_update_t enc_update;
	aes_gcm_enc_dec_finalize_t enc_finalize;
};

struct chacha_calls {
	chacha_poly_init_t init;
	chacha_poly_enc_dec_update_t enc_update;
	chacha_poly_enc_dec_update_t dec_update;
	chacha_poly_finalize_t finalize;
};

struct library {
	typeof(imb_get_version) *get_version;
	typeof(imb_get_version_str) *get_version_str;
	typeof(alloc_mb_mgr) *alloc_mgr;
	typeof(free_mb_mgr) *free_mgr;
	typeof(init_mb_mgr_auto) *init_auto;
};

static struct library lib;
static struct gcm_calls gcm128, gcm256;
static struct chacha_calls chacha;
static IMB_ARCH arch;

/*
 * The contexts are kept beside the schedules rather than on the stack, as they
 * hold key stream. The library wants struct gcm_key_data 64-byte aligned, its
 * header says so only to itself.
 */
struct gcm_state {
	_Alignas(64) struct gcm_key_data key;
	_Alignas(64) struct gcm_context_data ctx;
	const struct gcm_calls *calls;
};

struct chacha_state {
	_Alignas(64) uint8_t key[32];
	_Alignas(64) struct chacha20_poly1305_context_data ctx;
};

/* In time that does not depend on where they differ. */
static bool tag_differs(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) != 0;
}

static int gcm_create(void *state, uint16_t type)
{
	struct gcm_state *s = state;

	s->calls = type == TLSULP_AES_GCM_256 ? &gcm256 : &gcm128;
	return 0;
}

static int gcm_set_key(void *state, const uint8_t *key)
{
	struct gcm_state *s = state;

	s->calls->pre(key, &s->key);
	return 0;
}

static int gcm_seal(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		    const struct iovec *in, int in_cnt, uint8_t *out)
{
	struct gcm_state *s = state;
	const struct gcm_calls *c = s->calls;

	if (in_cnt == 1) {
		c->enc(&s->key, &s->ctx, out, in->iov_base, in->iov_len, nonce, aad, aad_len,
		       out + in->iov_len, AEAD_TAG_LEN);
		return 0;
	}
	c->init(&s->key, &s->ctx, nonce, aad, aad_len);
	for (int i = 0; i < in_cnt; i++) {
		c->enc_update(&s->key, &s->ctx, out, in[i].iov_base, in[i].iov_len);
		out += in[i].iov_len;
	}
	c->enc_finalize(&s->key, &s->ctx, out, AEAD_TAG_LEN);
	return 0;
}

static int gcm_open(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		    const uint8_t *in, size_t len, uint8_t *out)
{
	struct gcm_state *s = state;
	uint8_t tag[AEAD_TAG_LEN];

	s->calls->dec(&s->key, &s->ctx, out, in, len, nonce, aad, aad_len, tag, AEAD_TAG_LEN);
	return tag_differs(tag, in + len) ? -EBADMSG : 0;
}

static int chacha_set_key(void *state, const uint8_t *key)
{
	struct chacha_state *s = state;

	memcpy(s->key, key, sizeof(s->key));
	return 0;
}

/*
 * The library's ChaCha20 asks for a kilobyte at a time and then computes: memory that is cold is
 * waited for each time (docs/PERFORMANCE.md). AES-GCM reads on steadily, which the processor
 * foresees.
 */
static void chacha_prefetch(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += CACHE_LINE)
		__builtin_prefetch(p + i);
}

static int chacha_seal(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		       const struct iovec *in, int in_cnt, uint8_t *out)
{
	struct chacha_state *s = state;

	chacha.init(s->key, &s->ctx, nonce, aad, aad_len);
	for (int i = 0; i < in_cnt; i++) {
		chacha_prefetch(in[i].iov_base, in[i].iov_len);
		chacha.enc_update(s->key, &s->ctx, out, in[i].iov_base, in[i].iov_len);
		out += in[i].iov_len;
	}
	chacha.finalize(&s->ctx, out, AEAD_TAG_LEN);
	return 0;
}

static int chacha_open(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		       const uint8_t *in, size_t len, uint8_t *out)
{
	struct chacha_state *s = state;
	uint8_t tag[AEAD_TAG_LEN];

	chacha.init(s->key, &s->ctx, nonce, aad, aad_len);
	chacha.dec_update(s->key, &s->ctx, out, in, len);
	chacha.finalize(&s->ctx, tag, AEAD_TAG_LEN);
	return tag_differs(tag, in + len) ? -EBADMSG : 0;
}

static int symbols_load(void)
{
	void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return -ENOENT;
	lib.get_version = dlsym(handle, "imb_get_version");
	lib.get_version_str = dlsym(handle, "imb_get_version_str");
	lib.alloc_mgr = dlsym(handle, "alloc_mb_mgr");
	lib.free_mgr = dlsym(handle, "free_mb_mgr");
	lib.init_auto = dlsym(handle, "init_mb_mgr_auto");
	if (!lib.get_version || !lib.get_version_str || !lib.alloc_mgr || !lib.free_mgr ||
	    !lib.init_auto || lib.get_version() < OLDEST) {
		dlclose(handle);
		return -ENOENT;
	}
	return 0;
}

static void calls_take(const IMB_MGR *m)
{
	gcm128 = (struct gcm_calls){ m->gcm128_pre,  m->gcm128_enc,        m->gcm128_dec,
				     m->gcm128_init, m->gcm128_enc_update, m->gcm128_enc_finalize };
	gcm256 = (struct gcm_calls){ m->gcm256_pre,  m->gcm256_enc,        m->gcm256_dec,
				     m->gcm256_init, m->gcm256_enc_update, m->gcm256_enc_finalize };
	chacha = (struct chacha_calls){ m->chacha20_poly1305_init, m->chacha20_poly1305_enc_update,
					m->chacha20_poly1305_dec_update,
					m->chacha20_poly1305_finalize };
}

/* Without these two the library computes AES in tables: slow, and open to cache timing. */
static bool cpu_suits(void)
{
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}

static int load(void)
{
	IMB_MGR *mgr;
	int ret;

	ret = symbols_load();
	if (ret != 0)
		return ret;
	if (!cpu_suits())
		return -ENOTSUP;
	mgr = lib.alloc_mgr(0);
	if (!mgr)
		return -ENOTSUP;
	lib.init_auto(mgr, &arch);
	/* Below SSE come "none" and, in 1.x, the code without AES instructions. */
	if (arch < IMB_ARCH_SSE || !(mgr->features & IMB_FEATURE_SELF_TEST_PASS))
		ret = -ENOTSUP;
	else
		calls_take(mgr);
	lib.free_mgr(mgr);
	return ret;
}

static const char *version(void)
{
	return lib.get_version_str();
}

/* ChaCha20 of 16 KiB: 4.4 us with AVX-512 and 9.1 with AVX2, libcrypto's 4.8 and 7.6. */
static bool is_slow(uint16_t type)
{
	return type == TLSULP_CHACHA20_POLY1305 && arch < IMB_ARCH_AVX512;
}

#define GCM_COMMON                                                                                 \
	.state_len = sizeof(struct gcm_state), .create = gcm_create, .set_key = gcm_set_key,       \
	.seal = gcm_seal, .open = gcm_open

static const struct aead_cipher ciphers[] = {
	{ .type = TLSULP_AES_GCM_128, GCM_COMMON },
	{ .type = TLSULP_AES_GCM_256, GCM_COMMON },
	{ .type = TLSULP_CHACHA20_POLY1305,
	  .state_len = sizeof(struct chacha_state),
	  .set_key = chacha_set_key,
	  .seal = chacha_seal,
	  .open = chacha_open },
};

_Static_assert(sizeof(struct gcm_state) <= AEAD_STATE_MAX, "AEAD_STATE_MAX");

const struct aead_provider aead_ipsec_mb = {
	.name = "ipsec-mb",
	.package = PACKAGE,
	.load = load,
	.version = version,
	.is_slow = is_slow,
	.ciphers = ciphers,
	.cipher_cnt = sizeof(ciphers) / sizeof(ciphers[0]),
};

#else /* not built for x86-64, or without the library's header */

static int load(void)
{
	return -ENOTSUP;
}

const struct aead_provider aead_ipsec_mb = {
	.name = "ipsec-mb",
	.package = "libipsec-mb1",
	.load = load,
};

#endif
