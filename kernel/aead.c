// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/aead.h"

#include <linux/slab.h>

#define CCM_L_MINUS_1 2 /* RFC 3610: the length field takes the 3 bytes that the nonce leaves */

static const char *driver(u16 cipher)
{
	switch (cipher) {
	case TLSULP_AES_GCM_128:
	case TLSULP_AES_GCM_256:
		return "gcm(aes)";
	case TLSULP_AES_CCM_128:
		return "ccm(aes)";
	case TLSULP_CHACHA20_POLY1305:
		return "rfc7539(chacha20,poly1305)";
	case TLSULP_SM4_GCM:
		return "gcm(sm4)";
	case TLSULP_SM4_CCM:
		return "ccm(sm4)";
	default:
		return "gcm(aria)";
	}
}

static int set_key(struct aead *a, u16 cipher, const u8 *key)
{
	int err = crypto_aead_setkey(a->tfm, key, tls_cipher_find(cipher)->key_len);

	if (!err)
		err = crypto_aead_setauthsize(a->tfm, TLS_TAG_LEN);
	if (err)
		return err;
	a->request = aead_request_alloc(a->tfm, GFP_KERNEL);
	return a->request ? 0 : -ENOMEM;
}

struct aead *aead_new(u16 cipher, const u8 *key, int *err)
{
	struct aead *a = kzalloc(sizeof(*a), GFP_KERNEL);

	*err = -ENOMEM;
	if (!a)
		return NULL;
	a->tfm = crypto_alloc_aead(driver(cipher), 0, 0);
	if (IS_ERR(a->tfm)) {
		*err = PTR_ERR(a->tfm);
		kfree(a);
		return NULL;
	}
	*err = set_key(a, cipher, key);
	if (*err) {
		aead_free(a);
		return NULL;
	}
	a->ccm = cipher == TLSULP_AES_CCM_128 || cipher == TLSULP_SM4_CCM;
	sg_init_table(a->from, AEAD_FROM_MAX);
	sg_init_table(a->to, AEAD_TO_MAX);
	crypto_init_wait(&a->wait);
	aead_request_set_callback(a->request, CRYPTO_TFM_REQ_MAY_BACKLOG | CRYPTO_TFM_REQ_MAY_SLEEP,
				  crypto_req_done, &a->wait);
	return a;
}

void aead_free(struct aead *a)
{
	if (!a)
		return;
	aead_request_free(a->request);
	crypto_free_aead(a->tfm);
	kfree_sensitive(a);
}

void aead_begin(struct aead *a, const struct tls_record *r)
{
	u8 *iv = a->iv;

	if (a->ccm)
		*iv++ = CCM_L_MINUS_1;
	memcpy(iv, r->nonce, TLS_NONCE_LEN);
	memset(iv + TLS_NONCE_LEN, 0, a->iv + sizeof(a->iv) - iv - TLS_NONCE_LEN);
	memcpy(a->aad, r->aad, r->aad_len);
	sg_set_buf(a->from, a->aad, r->aad_len);
	sg_set_buf(a->to, a->aad, r->aad_len);
	aead_request_set_ad(a->request, r->aad_len);
	a->from_n = a->to_n = 1;
}

int aead_from(void *aead, struct page *page, size_t off, size_t len)
{
	struct aead *a = aead;

	if (a->from_n == AEAD_FROM_MAX)
		return -EMSGSIZE;
	sg_set_page(&a->from[a->from_n++], page, len, off);
	return 0;
}

int aead_to(void *aead, struct page *page, size_t off, size_t len)
{
	struct aead *a = aead;

	if (a->to_n == AEAD_TO_MAX)
		return -EMSGSIZE;
	sg_set_page(&a->to[a->to_n++], page, len, off);
	return 0;
}

int aead_from_byte(struct aead *a, u8 byte)
{
	a->byte = byte;
	return aead_from(a, virt_to_page(&a->byte), offset_in_page(&a->byte), 1);
}

int aead_to_byte(struct aead *a)
{
	return aead_to(a, virt_to_page(&a->byte), offset_in_page(&a->byte), 1);
}

/* The tables end at the last piece for this record, then at their own end again. */
static int run(struct aead *a, size_t len, int (*call)(struct aead_request *request))
{
	int err;

	sg_mark_end(&a->from[a->from_n - 1]);
	sg_mark_end(&a->to[a->to_n - 1]);
	aead_request_set_crypt(a->request, a->from, a->to, len, a->iv);
	err = crypto_wait_req(call(a->request), &a->wait);
	if (a->from_n < AEAD_FROM_MAX)
		sg_unmark_end(&a->from[a->from_n - 1]);
	if (a->to_n < AEAD_TO_MAX)
		sg_unmark_end(&a->to[a->to_n - 1]);
	return err;
}

int aead_seal(struct aead *a, size_t len)
{
	return run(a, len, crypto_aead_encrypt);
}

int aead_open(struct aead *a, size_t len)
{
	return run(a, len, crypto_aead_decrypt);
}
