// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tests/unit/evp.h"

#include "tests/unit/unit.h"

#include <endian.h>
#include <linux/tls.h>
#include <openssl/evp.h>

/* TLS_KEY_INFO_MAX is another thing in linux/tls.h. */
#define INFO_ROOM 60
#define INNER_MAX (TLS_PAYLOAD_MAX + 4096)

static const EVP_CIPHER *evp_of(uint16_t cipher)
{
	switch (cipher) {
	case TLSULP_AES_GCM_128:
		return EVP_aes_128_gcm();
	case TLSULP_AES_GCM_256:
		return EVP_aes_256_gcm();
	case TLSULP_AES_CCM_128:
		return EVP_aes_128_ccm();
	case TLSULP_CHACHA20_POLY1305:
		return EVP_chacha20_poly1305();
	default:
		return NULL;
	}
}

/* CCM wants tag (or its length), nonce length and text length before anything else. */
static EVP_CIPHER_CTX *start(uint16_t cipher, const uint8_t *key, const uint8_t *nonce,
			     const uint8_t *aad, size_t aad_len, const uint8_t *tag, size_t len,
			     int seal)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ccm = cipher == TLSULP_AES_CCM_128;
	int n;

	assert_int_equal(EVP_CipherInit_ex(ctx, evp_of(cipher), NULL, NULL, NULL, seal), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL), 1);
	if (ccm || tag)
		assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, (void *)tag),
				 1);
	assert_int_equal(EVP_CipherInit_ex(ctx, NULL, NULL, key, nonce, seal), 1);
	if (ccm)
		assert_int_equal(EVP_CipherUpdate(ctx, NULL, &n, NULL, len), 1);
	assert_int_equal(EVP_CipherUpdate(ctx, NULL, &n, aad, aad_len), 1);
	return ctx;
}

void evp_seal(uint16_t cipher, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
	      size_t aad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = start(cipher, key, nonce, aad, aad_len, NULL, len, 1);
	int n, end;

	assert_int_equal(EVP_CipherUpdate(ctx, out, &n, in, len), 1);
	assert_int_equal(EVP_CipherFinal_ex(ctx, out + n, &end), 1);
	assert_int_equal(n + end, len);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + len), 1);
	EVP_CIPHER_CTX_free(ctx);
}

bool evp_open(uint16_t cipher, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
	      size_t aad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = start(cipher, key, nonce, aad, aad_len, in + len, len, 0);
	int n = 0, end;
	bool ok = EVP_CipherUpdate(ctx, out, &n, in, len) == 1;

	if (cipher != TLSULP_AES_CCM_128)
		ok = ok && EVP_CipherFinal_ex(ctx, out + n, &end) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* One struct of linux/tls.h: where its fields lie. */
#define LAYOUT(type)                                                                               \
	{                                                                                          \
		sizeof(struct type), offsetof(struct type, iv), sizeof(((struct type *)0)->iv),    \
			offsetof(struct type, key), sizeof(((struct type *)0)->key),               \
			offsetof(struct type, salt), sizeof(((struct type *)0)->salt),             \
			offsetof(struct type, rec_seq)                                             \
	}

static const struct layout {
	size_t size, iv, iv_len, key, key_len, salt, salt_len, seq;
} layouts[] = {
	[TLSULP_AES_GCM_128] = LAYOUT(tls12_crypto_info_aes_gcm_128),
	[TLSULP_AES_GCM_256] = LAYOUT(tls12_crypto_info_aes_gcm_256),
	[TLSULP_AES_CCM_128] = LAYOUT(tls12_crypto_info_aes_ccm_128),
	[TLSULP_CHACHA20_POLY1305] = LAYOUT(tls12_crypto_info_chacha20_poly1305),
	[TLSULP_SM4_GCM] = LAYOUT(tls12_crypto_info_sm4_gcm),
	[TLSULP_SM4_CCM] = LAYOUT(tls12_crypto_info_sm4_ccm),
	/* Linux 6.1's header lacks ARIA: its structs are like these. */
	[TLSULP_ARIA_GCM_128] = LAYOUT(tls12_crypto_info_aes_gcm_128),
	[TLSULP_ARIA_GCM_256] = LAYOUT(tls12_crypto_info_aes_gcm_256),
};

size_t info_size(uint16_t cipher)
{
	return cipher < ARRAY_SIZE(layouts) ? layouts[cipher].size : 0;
}

size_t info_make(uint8_t *info, uint16_t version, uint16_t cipher, const uint8_t *key,
		 const uint8_t nonce[TLS_NONCE_LEN], uint64_t seq)
{
	const struct layout *l = &layouts[cipher];
	struct tls_crypto_info head = { version, cipher };
	uint64_t be = htobe64(seq);

	memset(info, 0, l->size);
	memcpy(info, &head, sizeof(head));
	memcpy(info + l->salt, nonce, l->salt_len);
	memcpy(info + l->iv, nonce + l->salt_len, l->iv_len);
	memcpy(info + l->key, key, l->key_len);
	memcpy(info + l->seq, &be, sizeof(be));
	return l->size;
}

struct tls_keys keys_make(uint16_t version, uint16_t cipher, const uint8_t *key,
			  const uint8_t nonce[TLS_NONCE_LEN], uint64_t seq)
{
	struct tls_keys none = { 0 }, k;
	uint8_t info[INFO_ROOM];
	size_t len = info_make(info, version, cipher, key, nonce, seq);

	assert_int_equal(tls_options_keys(&none, &none, info, len, &k), 0);
	return k;
}

struct tls_keys keys_seeded(uint16_t version, uint16_t cipher, uint32_t seed)
{
	uint8_t key[TLS_KEY_MAX], nonce[TLS_NONCE_LEN];

	fill_pattern(key, sizeof(key), seed);
	fill_pattern(nonce, sizeof(nonce), seed + 1);
	return keys_make(version, cipher, key, nonce, 0);
}

/* @text: plaintext, or TLS 1.3's inner plaintext of @len bytes. */
static size_t seal(const struct tls_keys *k, const struct tls_record *r, const uint8_t *text,
		   size_t len, uint8_t *wire)
{
	memcpy(wire, r->prefix, r->prefix_len);
	evp_seal(k->cipher, k->key, r->nonce, r->aad, r->aad_len, text, len, wire + r->prefix_len);
	return r->prefix_len + len + TLS_TAG_LEN;
}

size_t record_seal(const struct tls_keys *k, uint64_t ahead, uint8_t type, const uint8_t *plain,
		   size_t len, uint8_t *wire)
{
	struct tls_record r;
	uint8_t inner[INNER_MAX];

	tls_record_seal(k, ahead, type, len, &r);
	memcpy(inner, plain, len);
	if (r.inner_len)
		inner[len] = r.inner_type;
	return seal(k, &r, inner, len + r.inner_len, wire);
}

size_t record_seal_inner(const struct tls_keys *k, uint64_t ahead, const uint8_t *inner, size_t len,
			 uint8_t *wire)
{
	struct tls_record r;
	size_t body = len + TLS_TAG_LEN;

	tls_record_seal(k, ahead, TLSULP_DATA, 0, &r);
	r.prefix[3] = r.aad[3] = body >> 8;
	r.prefix[4] = r.aad[4] = body;
	return seal(k, &r, inner, len, wire);
}

size_t record_seal_padded(const struct tls_keys *k, uint64_t ahead, uint8_t type,
			  const uint8_t *plain, size_t len, size_t pad, uint8_t *wire)
{
	uint8_t inner[INNER_MAX] = { 0 };

	memcpy(inner, plain, len);
	inner[len] = type;
	return record_seal_inner(k, ahead, inner, len + 1 + pad, wire);
}

int record_open(const struct tls_keys *k, uint64_t ahead, const uint8_t *wire, uint8_t *plain,
		size_t *len, uint8_t *type)
{
	struct tls_record r;
	uint8_t text[TLS_BODY_MAX];
	int err, body = tls_record_header(k, wire);

	if (body < 0)
		return body;
	tls_record_open(k, ahead, wire, wire + TLS_HEADER_LEN, body, &r);
	if (!evp_open(k->cipher, k->key, r.nonce, r.aad, r.aad_len, wire + r.prefix_len,
		      r.plain_len, text))
		return -1;
	err = tls_record_inner(k, text, r.plain_len, wire[0], type, len);
	if (err)
		return err;
	memcpy(plain, text, *len);
	return r.wire_len;
}
