/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The keys of one direction in the kernel's crypto API, with room for the one
 * record that is under way. Sealing or opening a record is
 *
 *   aead_begin()      additional data and nonce
 *   aead_from/to()    pieces of the text and of where the result goes
 *   aead_run()        waits should the driver be asynchronous
 *
 * under the socket's lock, so that there is one record at a time.
 */
#ifndef TLSULP_KERNEL_AEAD_H
#define TLSULP_KERNEL_AEAD_H

#include <crypto/aead.h>
#include <linux/crypto.h>
#include <linux/scatterlist.h>

#include "engine/record.h"

#define AEAD_FROM_MAX 40
#define AEAD_TO_MAX 16

struct aead {
	struct crypto_aead *tfm;
	struct aead_request *request;
	struct crypto_wait wait;
	unsigned int from_n, to_n;
	bool ccm;
	u8 iv[16];
	u8 byte;
	u8 aad[TLS_AAD_MAX];
	struct scatterlist from[AEAD_FROM_MAX];
	struct scatterlist to[AEAD_TO_MAX];
};

/* A new key: NULL and *@err, -ENOENT where this kernel has not got the cipher. */
struct aead *aead_new(u16 cipher, const u8 *key, int *err);
void aead_free(struct aead *a);

void aead_begin(struct aead *a, const struct tls_record *r);

/* One more piece. Not 0: too many of them. For pages_each(). */
int aead_from(void *aead, struct page *page, size_t off, size_t len);
int aead_to(void *aead, struct page *page, size_t off, size_t len);

/* One more byte of the text: the inner type of TLS 1.3. */
int aead_from_byte(struct aead *a, u8 byte);

/* The byte after the text goes to aead->byte. */
int aead_to_byte(struct aead *a);

/* Room for pieces of the text, to be filled with sg calls that keep the table's end mark. */
static inline struct scatterlist *aead_from_table(struct aead *a, unsigned int *room)
{
	*room = AEAD_FROM_MAX - a->from_n;
	return a->from + a->from_n;
}

/* @len: of the text, opening with the tag. 0, -EBADMSG, or another error of the driver. */
int aead_seal(struct aead *a, size_t len);
int aead_open(struct aead *a, size_t len);

#endif
