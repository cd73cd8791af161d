// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "judge.h"

#include <err.h>
#include <nettle/ccm.h>
#include <nettle/gcm.h>
#include <openssl/evp.h>
#include <string.h>

static void check(bool ok, const char *what)
{
	if (!ok)
		errx(1, "%s", what);
}

/* ---- nettle ---- */

static bool always(void)
{
	return true;
}

static EVP_CIPHER_CTX *sm4_new(const uint8_t *key)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	check(EVP_EncryptInit_ex(ctx, EVP_sm4_ecb(), NULL, key, NULL), "SM4-ECB");
	EVP_CIPHER_CTX_set_padding(ctx, 0);
	return ctx;
}

/* A nettle_cipher_func: @len is a number of whole blocks. */
static void sm4_blocks(const void *ctx, size_t len, uint8_t *out, const uint8_t *in)
{
	int n;

	check(EVP_EncryptUpdate((EVP_CIPHER_CTX *)ctx, out, &n, in, len) && n == (int)len, "SM4");
}

static void gcm_begin(const struct message *m, EVP_CIPHER_CTX *sm4, struct gcm_key *key,
		      struct gcm_ctx *ctx)
{
	gcm_set_key(key, sm4, sm4_blocks);
	gcm_set_iv(ctx, key, NONCE_LEN, m->nonce);
	gcm_update(ctx, key, m->aad_len, m->aad);
}

static void nettle_seal(bool ccm, const struct message *m, uint8_t *out)
{
	EVP_CIPHER_CTX *sm4 = sm4_new(m->key);
	struct gcm_key key;
	struct gcm_ctx ctx;

	if (ccm) {
		ccm_encrypt_message(sm4, sm4_blocks, NONCE_LEN, m->nonce, m->aad_len, m->aad,
				    TAG_LEN, m->len + TAG_LEN, out, m->text);
	} else {
		gcm_begin(m, sm4, &key, &ctx);
		gcm_encrypt(&ctx, &key, sm4, sm4_blocks, m->len, out, m->text);
		gcm_digest(&ctx, &key, sm4, sm4_blocks, TAG_LEN, out + m->len);
	}
	EVP_CIPHER_CTX_free(sm4);
}

static bool nettle_open(bool ccm, const struct message *m, uint8_t *out)
{
	EVP_CIPHER_CTX *sm4 = sm4_new(m->key);
	struct gcm_key key;
	struct gcm_ctx ctx;
	uint8_t tag[TAG_LEN];
	bool ok;

	if (ccm) {
		ok = ccm_decrypt_message(sm4, sm4_blocks, NONCE_LEN, m->nonce, m->aad_len, m->aad,
					 TAG_LEN, m->len, out, m->text);
	} else {
		gcm_begin(m, sm4, &key, &ctx);
		gcm_decrypt(&ctx, &key, sm4, sm4_blocks, m->len, out, m->text);
		gcm_digest(&ctx, &key, sm4, sm4_blocks, TAG_LEN, tag);
		ok = !memcmp(tag, m->text + m->len, TAG_LEN);
	}
	EVP_CIPHER_CTX_free(sm4);
	return ok;
}

const struct judge judge_nettle = { "nettle", always, nettle_seal, nettle_open };

/* ---- OpenSSL ---- */

static EVP_CIPHER *fetch(bool ccm)
{
	return EVP_CIPHER_fetch(NULL, ccm ? "SM4-CCM" : "SM4-GCM", NULL);
}

static bool openssl_is_here(void)
{
	EVP_CIPHER *cipher = fetch(false);

	EVP_CIPHER_free(cipher);
	return cipher;
}

/* CCM wants the tag (or its length) before the key, and the length before all data. */
static EVP_CIPHER_CTX *begin(bool ccm, const struct message *m, bool seal)
{
	EVP_CIPHER *cipher = fetch(ccm);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	void *tag = seal ? NULL : (void *)(m->text + m->len);
	int n;

	check(EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, seal), "EVP_CipherInit_ex");
	check(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, NONCE_LEN, NULL), "nonce length");
	if (ccm || !seal)
		check(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag), "tag");
	check(EVP_CipherInit_ex(ctx, NULL, NULL, m->key, m->nonce, seal), "key");
	if (ccm)
		check(EVP_CipherUpdate(ctx, NULL, &n, NULL, m->len), "length");
	check(EVP_CipherUpdate(ctx, NULL, &n, m->aad, m->aad_len), "additional data");
	EVP_CIPHER_free(cipher);
	return ctx;
}

static void openssl_seal(bool ccm, const struct message *m, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = begin(ccm, m, true);
	int n;

	check(EVP_CipherUpdate(ctx, out, &n, m->text, m->len) && n == (int)m->len, "seal");
	check(EVP_CipherFinal_ex(ctx, out + n, &n), "seal");
	check(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + m->len), "tag");
	EVP_CIPHER_CTX_free(ctx);
}

static bool openssl_open(bool ccm, const struct message *m, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = begin(ccm, m, false);
	int n;
	bool ok = EVP_CipherUpdate(ctx, out, &n, m->text, m->len) > 0 && n == (int)m->len;

	/* CCM has verified by now. */
	ok = ok && (ccm || EVP_CipherFinal_ex(ctx, out + n, &n) > 0);
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

const struct judge judge_openssl = { "openssl", openssl_is_here, openssl_seal, openssl_open };
