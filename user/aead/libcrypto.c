// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OpenSSL 3 by EVP, in a library context of our own: the application may use
 * the same libcrypto, and neither its configuration nor the providers it loads
 * into the default context are ours to touch or to depend on. For the same
 * reason nothing here may leave an entry in the thread's error queue, which
 * the application reads after SSL_read().
 *
 * EVP keeps its key schedules on the heap; only the raw key lives in our own
 * memory. MADV_DONTDUMP does not cover the schedules of this provider.
 */
#include "user/aead/provider.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "engine/uapi.h"

#define CALLS(X)                                                                                   \
	X(OSSL_LIB_CTX_new)                                                                        \
	X(OpenSSL_version)                                                                         \
	X(ERR_set_mark)                                                                            \
	X(ERR_pop_to_mark)                                                                         \
	X(EVP_CIPHER_fetch)                                                                        \
	X(EVP_CIPHER_CTX_new)                                                                      \
	X(EVP_CIPHER_CTX_free)                                                                     \
	X(EVP_CIPHER_CTX_ctrl)                                                                     \
	X(EVP_CipherInit_ex)                                                                       \
	X(EVP_CipherUpdate)                                                                        \
	X(EVP_CipherFinal_ex)                                                                      \
	X(EVP_Cipher)

#define MEMBER(name) typeof(name) *name;
static struct {
	CALLS(MEMBER)
} lib;

static struct kind {
	uint16_t type;
	uint8_t key_len;
	const char *name;
	EVP_CIPHER *cipher; /* set up by load() */
} kinds[] = {
	{ TLSULP_AES_GCM_128, 16, "AES-128-GCM", NULL },
	{ TLSULP_AES_GCM_256, 32, "AES-256-GCM", NULL },
	{ TLSULP_CHACHA20_POLY1305, 32, "ChaCha20-Poly1305", NULL },
	{ TLSULP_AES_CCM_128, 16, "AES-128-CCM", NULL },
	{ TLSULP_ARIA_GCM_128, 16, "ARIA-128-GCM", NULL },
	{ TLSULP_ARIA_GCM_256, 32, "ARIA-256-GCM", NULL },
};
#define KIND_CNT (sizeof(kinds) / sizeof(kinds[0]))

enum dir { OPEN = 0, SEAL = 1, UNKEYED };

struct state {
	EVP_CIPHER_CTX *ctx;
	enum dir dir; /* what ctx is keyed for */
	bool ccm;
	uint8_t key_len;
	uint8_t key[32];
};

static const struct kind *kind_find(uint16_t type)
{
	const struct kind *kind = kinds;

	while (kind->type != type)
		kind++;
	return kind;
}

static bool ctx_setup(struct state *s, const EVP_CIPHER *cipher)
{
	EVP_CIPHER_CTX *ctx = s->ctx;

	if (!ctx || !lib.EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, SEAL))
		return false;
	if (!lib.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, AEAD_NONCE_LEN, NULL))
		return false;
	/* CCM mixes the tag's length into its first block. */
	return !s->ccm || lib.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, NULL);
}

static int create(void *state, uint16_t type)
{
	const struct kind *kind = kind_find(type);
	struct state *s = state;
	bool ok;

	s->ccm = type == TLSULP_AES_CCM_128;
	s->key_len = kind->key_len;
	s->dir = UNKEYED;
	lib.ERR_set_mark();
	s->ctx = lib.EVP_CIPHER_CTX_new();
	ok = ctx_setup(s, kind->cipher);
	lib.ERR_pop_to_mark();
	if (!ok)
		lib.EVP_CIPHER_CTX_free(s->ctx);
	return ok ? 0 : -ENOMEM;
}

static void destroy(void *state)
{
	struct state *s = state;

	lib.EVP_CIPHER_CTX_free(s->ctx);
}

static int set_key(void *state, const uint8_t *key)
{
	struct state *s = state;

	memcpy(s->key, key, s->key_len);
	s->dir = UNKEYED;
	if (!lib.EVP_CipherInit_ex(s->ctx, NULL, NULL, s->key, NULL, SEAL))
		return -EIO;
	s->dir = SEAL;
	return 0;
}

/*
 * Start a record. The context counts as unkeyed until end(): when a fault
 * jumps out of the middle, the next record puts the key in again and so finds
 * nothing of the broken one. A change of direction does the same, because CCM
 * picks its code for one direction along with the key.
 */
static bool begin(struct state *s, enum dir dir, const uint8_t *nonce)
{
	const uint8_t *key = s->dir == dir ? NULL : s->key;

	s->dir = UNKEYED;
	return lib.EVP_CipherInit_ex(s->ctx, NULL, NULL, key, nonce, dir);
}

static void end(struct state *s, enum dir dir)
{
	s->dir = dir;
}

/* @out is NULL for additional data. No bytes at all would mean "final" to some versions. */
static bool update(struct state *s, uint8_t *out, const uint8_t *in, size_t len)
{
	int n;

	if (len == 0)
		return true;
	return len <= INT_MAX && lib.EVP_CipherUpdate(s->ctx, out, &n, in, len);
}

static bool final(struct state *s)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int n;

	return lib.EVP_CipherFinal_ex(s->ctx, none, &n);
}

static bool tag_get(struct state *s, uint8_t *tag)
{
	return lib.EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, tag);
}

static bool tag_set(struct state *s, const uint8_t *tag)
{
	return lib.EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, (void *)tag);
}

static int stream_seal(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		       const struct iovec *in, int in_cnt, uint8_t *out)
{
	struct state *s = state;

	if (!begin(s, SEAL, nonce) || !update(s, NULL, aad, aad_len))
		return -EIO;
	for (int i = 0; i < in_cnt; i++) {
		if (!update(s, out, in[i].iov_base, in[i].iov_len))
			return -EIO;
		out += in[i].iov_len;
	}
	if (!final(s) || !tag_get(s, out))
		return -EIO;
	end(s, SEAL);
	return 0;
}

static int stream_open(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		       const uint8_t *in, size_t len, uint8_t *out)
{
	struct state *s = state;

	if (!begin(s, OPEN, nonce) || !tag_set(s, in + len))
		return -EIO;
	if (!update(s, NULL, aad, aad_len) || !update(s, out, in, len))
		return -EIO;
	if (!final(s))
		return -EBADMSG;
	end(s, OPEN);
	return 0;
}

/* CCM authenticates the length before all else (RFC 3610 section 2.2). */
static bool ccm_begin(struct state *s, const uint8_t *aad, size_t aad_len, size_t len)
{
	int n;

	return len <= INT_MAX && lib.EVP_CipherUpdate(s->ctx, NULL, &n, NULL, len) &&
	       update(s, NULL, aad, aad_len);
}

/*
 * The whole message in one call, which is all that CCM takes. EVP_Cipher()
 * because EVP_CipherUpdate() answers a wrong tag with an entry in the error
 * queue, and allocates the queue if the thread has none yet.
 */
static bool ccm_crypt(struct state *s, uint8_t *out, const uint8_t *in, size_t len)
{
	return lib.EVP_Cipher(s->ctx, out, in, len) >= 0;
}

static int ccm_seal(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		    const struct iovec *in, int in_cnt, uint8_t *out)
{
	struct state *s = state;
	const uint8_t *text = out;
	size_t len;

	if (in_cnt == 1 && in->iov_len != 0) {
		text = in->iov_base;
		len = in->iov_len;
	} else {
		len = aead_gather(out, in, in_cnt);
	}
	if (!begin(s, SEAL, nonce) || !ccm_begin(s, aad, aad_len, len) ||
	    !ccm_crypt(s, out, text, len) || !tag_get(s, out + len))
		return -EIO;
	end(s, SEAL);
	return 0;
}

static int ccm_open(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		    const uint8_t *in, size_t len, uint8_t *out)
{
	struct state *s = state;

	if (!begin(s, OPEN, nonce) || !tag_set(s, in + len) || !ccm_begin(s, aad, aad_len, len))
		return -EIO;
	/* A NULL @out would make additional data of an empty record. */
	if (!ccm_crypt(s, len ? out : s->key, in, len))
		return -EBADMSG;
	end(s, OPEN);
	return 0;
}

static bool fetch_all(void)
{
	OSSL_LIB_CTX *own = lib.OSSL_LIB_CTX_new();

	for (size_t i = 0; i < KIND_CNT; i++) {
		kinds[i].cipher = own ? lib.EVP_CIPHER_fetch(own, kinds[i].name, NULL) : NULL;
		if (!kinds[i].cipher)
			return false;
	}
	return true;
}

static int load(void)
{
	void *handle = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
	bool ok = true;

	if (!handle)
		return -ENOENT;
#define LOOK_UP(name) ok = (lib.name = dlsym(handle, #name)) && ok;
	CALLS(LOOK_UP)
	if (!ok)
		return -ENOENT;
	lib.ERR_set_mark();
	ok = fetch_all();
	lib.ERR_pop_to_mark();
	return ok ? 0 : -ENOENT;
}

static const char *version(void)
{
	return lib.OpenSSL_version(OPENSSL_VERSION_STRING);
}

#define COMMON                                                                                     \
	.state_len = sizeof(struct state), .create = create, .destroy = destroy, .set_key = set_key

static const struct aead_cipher ciphers[] = {
	{ .type = TLSULP_AES_GCM_128, COMMON, .seal = stream_seal, .open = stream_open },
	{ .type = TLSULP_AES_GCM_256, COMMON, .seal = stream_seal, .open = stream_open },
	{ .type = TLSULP_CHACHA20_POLY1305, COMMON, .seal = stream_seal, .open = stream_open },
	{ .type = TLSULP_AES_CCM_128, COMMON, .seal = ccm_seal, .open = ccm_open },
	{ .type = TLSULP_ARIA_GCM_128, COMMON, .seal = stream_seal, .open = stream_open },
	{ .type = TLSULP_ARIA_GCM_256, COMMON, .seal = stream_seal, .open = stream_open },
};

const struct aead_provider aead_libcrypto = {
	.name = "libcrypto",
	.package = "libssl3",
	.load = load,
	.version = version,
	.ciphers = ciphers,
	.cipher_cnt = sizeof(ciphers) / sizeof(ciphers[0]),
};
