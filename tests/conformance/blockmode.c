// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "blockmode.h"

#include <openssl/crypto.h>
#include <string.h>

#include "opener.h"

#define BLOCK 16
#define BLOCKS_MAX (RECORD_BODY_MAX / BLOCK + 2)

struct block128 {
	uint64_t hi, lo;
};

static EVP_CIPHER_CTX *start_cipher(const struct blockmode_input *in)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx && EVP_EncryptInit_ex(ctx, in->ecb, NULL, in->key, NULL) &&
	    EVP_CIPHER_CTX_set_padding(ctx, 0))
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

static bool encrypt(EVP_CIPHER_CTX *ctx, uint8_t *blocks, size_t count)
{
	int n = 0, len = (int)(count * BLOCK);

	return ctx && EVP_EncryptUpdate(ctx, blocks, &n, blocks, len) && n == len;
}

static bool encrypt_blocks(const struct blockmode_input *in, uint8_t *blocks, size_t count)
{
	EVP_CIPHER_CTX *ctx = start_cipher(in);
	bool ok = encrypt(ctx, blocks, count);

	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void store(uint8_t *p, uint64_t v, int bytes)
{
	while (bytes--) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* NIST SP 800-38D, 6.3: the product in GF(2^128), bit by bit. */
static struct block128 gf_mul(struct block128 x, struct block128 h)
{
	struct block128 z = { 0, 0 };
	int i;

	for (i = 0; i < 128; i++) {
		uint64_t bit = i < 64 ? x.hi >> (63 - i) & 1 : x.lo >> (127 - i) & 1;
		uint64_t carry = h.lo & 1;

		z.hi ^= h.hi & -bit;
		z.lo ^= h.lo & -bit;
		h.lo = h.lo >> 1 | h.hi << 63;
		h.hi = h.hi >> 1 ^ (0xe100000000000000ull & -carry);
	}
	return z;
}

static struct block128 ghash(struct block128 y, struct block128 h, const uint8_t *data, size_t len)
{
	uint8_t block[BLOCK];

	while (len) {
		size_t n = len < BLOCK ? len : BLOCK;

		memset(block, 0, BLOCK);
		memcpy(block, data, n);
		y.hi ^= load64(block);
		y.lo ^= load64(block + 8);
		y = gf_mul(y, h);
		data += n;
		len -= n;
	}
	return y;
}

static size_t block_count(size_t len)
{
	return (len + BLOCK - 1) / BLOCK;
}

static void xor_out(uint8_t *out, const uint8_t *data, const uint8_t *stream, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		out[i] = data[i] ^ stream[i];
}

bool blockmode_gcm_open(const struct blockmode_input *in, uint8_t *out)
{
	uint8_t ctr[(BLOCKS_MAX + 2) * BLOCK] = { 0 }, lens[BLOCK], tag[BLOCK];
	size_t i, count = block_count(in->len);
	struct block128 h, y = { 0, 0 };

	/* Block 0 becomes the hash key, block 1 masks the tag, the others are the key stream. */
	for (i = 1; i < count + 2; i++) {
		memcpy(ctr + i * BLOCK, in->nonce, NONCE_SIZE);
		store(ctr + i * BLOCK + NONCE_SIZE, i, 4);
	}
	if (!encrypt_blocks(in, ctr, count + 2))
		return false;
	h = (struct block128){ load64(ctr), load64(ctr + 8) };
	store(lens, in->aad_len * 8, 8);
	store(lens + 8, in->len * 8, 8);
	y = ghash(y, h, in->aad, in->aad_len);
	y = ghash(y, h, in->data, in->len);
	y = ghash(y, h, lens, BLOCK);
	store(tag, y.hi ^ load64(ctr + BLOCK), 8);
	store(tag + 8, y.lo ^ load64(ctr + BLOCK + 8), 8);
	xor_out(out, in->data, ctr + 2 * BLOCK, in->len);
	return !CRYPTO_memcmp(tag, in->tag, BLOCK);
}

static bool cbc_mac(const struct blockmode_input *in, const uint8_t *blocks, size_t count,
		    uint8_t mac[BLOCK])
{
	EVP_CIPHER_CTX *ctx = start_cipher(in);
	bool ok = true;
	size_t i, j;

	memset(mac, 0, BLOCK);
	for (i = 0; ok && i < count; i++) {
		for (j = 0; j < BLOCK; j++)
			mac[j] ^= blocks[i * BLOCK + j];
		ok = encrypt(ctx, mac, 1);
	}
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* RFC 3610, with a 3-byte length and a 16-byte tag. */
static bool ccm_tag(const struct blockmode_input *in, const uint8_t *plain, uint8_t mac[BLOCK])
{
	uint8_t blocks[(BLOCKS_MAX + 8) * BLOCK] = { 0x7a };
	size_t aad_blocks = block_count(in->aad_len + 2);

	memcpy(blocks + 1, in->nonce, NONCE_SIZE);
	store(blocks + 13, in->len, 3);
	store(blocks + BLOCK, in->aad_len, 2);
	memcpy(blocks + BLOCK + 2, in->aad, in->aad_len);
	memcpy(blocks + (1 + aad_blocks) * BLOCK, plain, in->len);
	return cbc_mac(in, blocks, 1 + aad_blocks + block_count(in->len), mac);
}

bool blockmode_ccm_open(const struct blockmode_input *in, uint8_t *out)
{
	uint8_t ctr[(BLOCKS_MAX + 1) * BLOCK], mac[BLOCK];
	size_t i, count = block_count(in->len);

	for (i = 0; i < count + 1; i++) {
		ctr[i * BLOCK] = 0x02;
		memcpy(ctr + i * BLOCK + 1, in->nonce, NONCE_SIZE);
		store(ctr + i * BLOCK + 13, i, 3);
	}
	if (!encrypt_blocks(in, ctr, count + 1))
		return false;
	xor_out(out, in->data, ctr + BLOCK, in->len);
	if (!ccm_tag(in, out, mac))
		return false;
	xor_out(mac, mac, ctr, BLOCK);
	return !CRYPTO_memcmp(mac, in->tag, BLOCK);
}
