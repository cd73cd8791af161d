// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine/cipher.h"

static const struct tls_cipher ciphers[] = {
	{ TLSULP_AES_GCM_128, 16, 4, 8, 8, true, true, "AES-GCM-128" },
	{ TLSULP_AES_GCM_256, 32, 4, 8, 8, true, true, "AES-GCM-256" },
	{ TLSULP_AES_CCM_128, 16, 4, 8, 8, true, true, "AES-CCM-128" },
	{ TLSULP_CHACHA20_POLY1305, 32, 0, 12, 0, true, true, "CHACHA20-POLY1305" },
	{ TLSULP_SM4_GCM, 16, 4, 8, 8, false, true, "SM4-GCM" },
	{ TLSULP_SM4_CCM, 16, 4, 8, 8, false, true, "SM4-CCM" },
	{ TLSULP_ARIA_GCM_128, 16, 4, 8, 8, true, false, "ARIA-GCM-128" },
	{ TLSULP_ARIA_GCM_256, 32, 4, 8, 8, true, false, "ARIA-GCM-256" },
};

const struct tls_cipher *tls_cipher_find(uint16_t type)
{
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (ciphers[i].type == type)
			return &ciphers[i];
	return NULL;
}

size_t tls_cipher_info_len(const struct tls_cipher *c)
{
	return 4 + c->iv_len + c->key_len + c->salt_len + TLS_SEQ_LEN;
}
