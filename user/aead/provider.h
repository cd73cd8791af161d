/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The seam between aead.c and the libraries that do the arithmetic. A provider
 * fills one struct aead_provider and one struct aead_cipher for each cipher it
 * has; aead.c owns the memory, the locking and the choice.
 */
#ifndef TLSULP_AEAD_PROVIDER_H
#define TLSULP_AEAD_PROVIDER_H

#include "user/aead/aead.h"

/*
 * One cipher of one provider. @state is @state_len bytes (at most
 * AEAD_STATE_MAX), 64-byte aligned, zero at first, not dumped in cores, and
 * wiped by aead.c after destroy().
 */
#define AEAD_STATE_MAX 1920

struct aead_cipher {
	uint16_t type;
	uint16_t state_len;
	/* What cannot be done without allocating: 0 or -ENOMEM, nothing kept. */
	int (*create)(void *state, uint16_t type);
	void (*destroy)(void *state);
	/* The rest as in aead.h. A bad tag is -EBADMSG; aead.c wipes @out. */
	int (*set_key)(void *state, const uint8_t *key);
	int (*seal)(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		    const struct iovec *in, int in_cnt, uint8_t *out);
	int (*open)(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		    const uint8_t *in, size_t len, uint8_t *out);
};

struct aead_provider {
	const char *name;
	const char *package; /* Debian's name for it */
	/* Open the library, once, under aead.c's lock: 0, -ENOENT, -ENOTSUP. */
	int (*load)(void);
	/* The rest only after load() gave 0. */
	const char *(*version)(void);
	bool (*has)(uint16_t type); /* of the ciphers below, does this version? NULL: all */
	bool (*is_slow)(uint16_t type); /* on this CPU others are faster; NULL: never */
	const struct aead_cipher *ciphers;
	int cipher_cnt;
};

extern const struct aead_provider aead_ipsec_mb;
extern const struct aead_provider aead_libcrypto;
extern const struct aead_provider aead_libgcrypt;

/*
 * For ciphers that want the message in one piece: the pieces one after the other
 * in @out; they are there already when sealing in place. Returns their length.
 */
size_t aead_gather(uint8_t *out, const struct iovec *in, int in_cnt);

/*
 * aead_key_new() by the provider of that index and no other, whatever
 * TLSULP_AEAD says: for tests and benchmarks that compare providers.
 */
int aead_key_new_from(int index, uint16_t cipher_type, const uint8_t *key, struct aead_key **out);

#endif
