/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * GCM and CCM over any 128-bit block cipher that libcrypto has: SM4 records
 * can be checked where libcrypto has SM4 but not SM4-GCM (OpenSSL before 3.1).
 * Both take a 12-byte nonce and a 16-byte tag, and return whether it is right.
 */
#ifndef CONFORMANCE_BLOCKMODE_H
#define CONFORMANCE_BLOCKMODE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blockmode_input {
	const EVP_CIPHER *ecb;
	const uint8_t *key, *nonce;
	const uint8_t *aad;
	size_t aad_len;
	const uint8_t *data; /* ciphertext */
	size_t len;
	const uint8_t *tag;
};

bool blockmode_gcm_open(const struct blockmode_input *in, uint8_t *out);
bool blockmode_ccm_open(const struct blockmode_input *in, uint8_t *out);

#endif
