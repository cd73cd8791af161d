// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "opener.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "blockmode.h"

#define TAG_SIZE 16
#define SEQ_SIZE 8
#define INFO_SIZE 4
#define EXPLICIT_SIZE 8
#define TYPE_DATA 23

enum suite_mode { MODE_GCM, MODE_CCM, MODE_CHACHA, MODE_BLOCK_GCM, MODE_BLOCK_CCM };

struct suite {
	uint16_t number; /* TLS_CIPHER_* of linux/tls.h */
	enum suite_mode mode;
	uint8_t key_size, salt_size, iv_size;
	const char *evp; /* what libcrypto calls it */
	const char *name;
};

static const struct suite suites[] = {
	{ 51, MODE_GCM, 16, 4, 8, "AES-128-GCM", "AES-128-GCM" },
	{ 52, MODE_GCM, 32, 4, 8, "AES-256-GCM", "AES-256-GCM" },
	{ 53, MODE_CCM, 16, 4, 8, "AES-128-CCM", "AES-128-CCM" },
	{ 54, MODE_CHACHA, 32, 0, 12, "ChaCha20-Poly1305", "ChaCha20-Poly1305" },
	{ 55, MODE_BLOCK_GCM, 16, 4, 8, "SM4-ECB", "SM4-GCM" },
	{ 56, MODE_BLOCK_CCM, 16, 4, 8, "SM4-ECB", "SM4-CCM" },
	{ 57, MODE_GCM, 16, 4, 8, "ARIA-128-GCM", "ARIA-128-GCM" },
	{ 58, MODE_GCM, 32, 4, 8, "ARIA-256-GCM", "ARIA-256-GCM" },
};

static const struct suite *find_suite(uint16_t number, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		const struct suite *s = &suites[i];

		if (s->number == number)
			return len == INFO_SIZE + (size_t)s->iv_size + s->key_size + s->salt_size +
						       SEQ_SIZE
				       ? s
				       : NULL;
	}
	return NULL;
}

static uint64_t load_be(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

bool opener_init(struct opener *o, const uint8_t *info, size_t len)
{
	const uint8_t *iv = info + INFO_SIZE;
	uint16_t version, number;

	memset(o, 0, sizeof(*o));
	if (len < INFO_SIZE)
		return false;
	memcpy(&version, info, 2);
	memcpy(&number, info + 2, 2);
	o->suite = find_suite(number, len);
	if (!o->suite || (version != 0x0303 && version != 0x0304))
		return false;
	o->tls13 = version == 0x0304;
	/* struct tls12_crypto_info_*: version, cipher, IV, key, salt, record sequence. */
	memcpy(o->key, iv + o->suite->iv_size, o->suite->key_size);
	memcpy(o->fixed, iv + o->suite->iv_size + o->suite->key_size, o->suite->salt_size);
	memcpy(o->fixed + o->suite->salt_size, iv, o->suite->iv_size);
	o->seq = load_be(info + len - SEQ_SIZE, SEQ_SIZE);
	o->cipher = EVP_CIPHER_fetch(NULL, o->suite->evp, NULL);
	o->ctx = EVP_CIPHER_CTX_new();
	return o->cipher && o->ctx;
}

void opener_free(struct opener *o)
{
	EVP_CIPHER_CTX_free(o->ctx);
	EVP_CIPHER_free(o->cipher);
	memset(o, 0, sizeof(*o));
}

const char *opener_name(const struct opener *o)
{
	return o->suite->name;
}

static bool evp_open(struct opener *o, const struct blockmode_input *in, uint8_t *out)
{
	bool ccm = o->suite->mode == MODE_CCM;
	int n;

	/* CCM wants the tag before the key, and every length before the data. */
	return EVP_CIPHER_CTX_reset(o->ctx) &&
	       EVP_DecryptInit_ex(o->ctx, o->cipher, NULL, NULL, NULL) &&
	       EVP_CIPHER_CTX_ctrl(o->ctx, EVP_CTRL_AEAD_SET_IVLEN, NONCE_SIZE, NULL) &&
	       EVP_CIPHER_CTX_ctrl(o->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, (void *)in->tag) &&
	       EVP_DecryptInit_ex(o->ctx, NULL, NULL, in->key, in->nonce) &&
	       (!ccm || EVP_DecryptUpdate(o->ctx, NULL, &n, NULL, (int)in->len)) &&
	       EVP_DecryptUpdate(o->ctx, NULL, &n, in->aad, (int)in->aad_len) &&
	       EVP_DecryptUpdate(o->ctx, out, &n, in->data, (int)in->len) &&
	       (ccm || EVP_DecryptFinal_ex(o->ctx, out + n, &n));
}

/* libcrypto's CCM does not look at the tag of an empty plaintext. */
static bool empty_ccm_open(const struct blockmode_input *in, uint8_t *out)
{
	EVP_CIPHER *ecb = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	struct blockmode_input with_ecb = *in;
	bool ok;

	with_ecb.ecb = ecb;
	ok = ecb && blockmode_ccm_open(&with_ecb, out);
	EVP_CIPHER_free(ecb);
	return ok;
}

static bool aead_open(struct opener *o, const struct blockmode_input *in, uint8_t *out)
{
	switch (o->suite->mode) {
	case MODE_BLOCK_GCM:
		return blockmode_gcm_open(in, out);
	case MODE_BLOCK_CCM:
		return blockmode_ccm_open(in, out);
	case MODE_CCM:
		return in->len ? evp_open(o, in, out) : empty_ccm_open(in, out);
	default:
		return evp_open(o, in, out);
	}
}

/* RFC 8446 5.3, RFC 7905 2: XOR with the sequence. RFC 5288 3: salt and what the record says. */
static void make_nonce(const struct opener *o, uint64_t seq, const uint8_t *body, uint8_t *nonce)
{
	int i;

	memcpy(nonce, o->fixed, NONCE_SIZE);
	if (!o->tls13 && o->suite->mode != MODE_CHACHA) {
		memcpy(nonce + NONCE_SIZE - EXPLICIT_SIZE, body, EXPLICIT_SIZE);
		return;
	}
	for (i = 0; i < SEQ_SIZE; i++)
		nonce[NONCE_SIZE - 1 - i] ^= (uint8_t)(seq >> (8 * i));
}

/* RFC 8446 5.2: the header; RFC 5246 6.2.3.3: sequence, type, version, plaintext length. */
static size_t make_aad(const struct opener *o, uint64_t seq, const uint8_t *record, size_t plain,
		       uint8_t *aad)
{
	int i;

	if (o->tls13) {
		memcpy(aad, record, RECORD_HEADER);
		return RECORD_HEADER;
	}
	for (i = 0; i < SEQ_SIZE; i++)
		aad[i] = (uint8_t)(seq >> (8 * (SEQ_SIZE - 1 - i)));
	memcpy(aad + SEQ_SIZE, record, 3);
	aad[SEQ_SIZE + 3] = (uint8_t)(plain >> 8);
	aad[SEQ_SIZE + 4] = (uint8_t)plain;
	return SEQ_SIZE + RECORD_HEADER;
}

static enum open_result check_inner(const uint8_t *record, const uint8_t *plain, size_t len)
{
	if (record[0] != TYPE_DATA)
		return OPEN_NO_TYPE;
	if (len > RECORD_PLAIN_MAX + 1)
		return OPEN_LONG;
	while (len && !plain[len - 1])
		len--;
	return len ? OPEN_OK : OPEN_NO_TYPE;
}

enum open_result opener_open(struct opener *o, uint64_t seq, const uint8_t *record, size_t len,
			     uint8_t nonce[NONCE_SIZE])
{
	const uint8_t *body = record + RECORD_HEADER;
	size_t explicit_size = !o->tls13 && o->suite->mode != MODE_CHACHA ? EXPLICIT_SIZE : 0;
	uint8_t aad[SEQ_SIZE + RECORD_HEADER], plain[RECORD_BODY_MAX];
	struct blockmode_input in;

	if (len < RECORD_HEADER + explicit_size + TAG_SIZE + o->tls13)
		return OPEN_SHORT;
	if (len > RECORD_HEADER + RECORD_BODY_MAX)
		return OPEN_LONG;
	make_nonce(o, seq, body, nonce);
	in = (struct blockmode_input){ .ecb = o->cipher,
				       .key = o->key,
				       .nonce = nonce,
				       .aad = aad,
				       .data = body + explicit_size,
				       .len = len - RECORD_HEADER - explicit_size - TAG_SIZE,
				       .tag = record + len - TAG_SIZE };
	in.aad_len = make_aad(o, seq, record, in.len, aad);
	if (!aead_open(o, &in, plain))
		return OPEN_BAD;
	if (o->tls13)
		return check_inner(record, plain, in.len);
	return in.len > RECORD_PLAIN_MAX ? OPEN_LONG : OPEN_OK;
}
