/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SM4-GCM and SM4-CCM without libgcrypt, which is what tlsulp has them from:
 * by nettle's modes over OpenSSL's SM4 (OpenSSL 3.0 has the bare cipher), and
 * by OpenSSL's own (since 3.1).
 */
#ifndef INTEROP_JUDGE_H
#define INTEROP_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM4_KEY_LEN 16
#define NONCE_LEN 12
#define TAG_LEN 16

struct message {
	const uint8_t *key, *nonce, *aad;
	size_t aad_len;
	const uint8_t *text; /* when opening: ciphertext and tag */
	size_t len; /* of the plaintext */
};

struct judge {
	const char *name;
	bool (*is_here)(void);
	/* len bytes and a tag to @out. */
	void (*seal)(bool ccm, const struct message *m, uint8_t *out);
	/* len bytes to @out; whether the tag is right. */
	bool (*open)(bool ccm, const struct message *m, uint8_t *out);
};

extern const struct judge judge_nettle, judge_openssl;

#endif
