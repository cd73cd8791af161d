/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * AEAD providers: the arithmetic of the userspace home.
 *
 * A provider is a shared library that somebody else keeps (intel-ipsec-mb,
 * OpenSSL's libcrypto), opened with dlopen() the first time a key is
 * installed, never later: dlopen() and malloc() inside send() would deadlock
 * in signal handlers and in fork children. After aead_key_new() no function
 * here allocates, waits or calls back.
 *
 * TLSULP_AEAD=ipsec-mb or TLSULP_AEAD=libcrypto in the environment forces one
 * provider; otherwise the first one that has the cipher and runs well on this
 * CPU is taken.
 */
#ifndef TLSULP_AEAD_H
#define TLSULP_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define AEAD_NONCE_LEN 12
#define AEAD_TAG_LEN 16

/*
 * An opaque key schedule, private to this process, kept out of core dumps.
 * One thread at a time may use it (the session's lock sees to that); two keys
 * may be used at once by two threads.
 */
struct aead_key;

/*
 * Make a key schedule for @cipher_type (TLS_CIPHER_* of linux/tls.h) from
 * @key (its length follows from the cipher).
 * Returns 0 and *@out, or -ENOENT: no provider on this machine has the cipher
 * (aead_provider_hint() names the package), or -ENOMEM.
 * Not async-signal-safe; thread-safe.
 */
int aead_key_new(uint16_t cipher_type, const uint8_t *key, struct aead_key **out);

/*
 * Put another key of the same cipher into an existing schedule (a key update,
 * or the first use in a process that inherited the session). Allocates nothing.
 * Returns 0 or -EIO if the library refused.
 */
int aead_key_set(struct aead_key *k, const uint8_t *key);

/* Wipe and free. NULL is allowed. */
void aead_key_free(struct aead_key *k);

/*
 * Seal: the plaintext is the @in_cnt pieces of @in in order, @out receives the
 * ciphertext (as long as the pieces together) followed by the 16-byte tag.
 * @out may be exactly in[0].iov_base if the pieces follow each other in memory
 * (sealing in place); otherwise the two must not overlap.
 * Returns 0, or -EIO if the library refused (nothing useful is in @out then).
 * May fault if a piece is a bad pointer: the caller guards that (fault.h); the
 * key stays usable after such a jump out.
 */
int aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], const uint8_t *aad,
	      size_t aad_len, const struct iovec *in, int in_cnt, uint8_t *out);

/*
 * Open: @in is @len bytes of ciphertext followed by the 16-byte tag; @out
 * receives @len bytes of plaintext and may be @in (in place).
 * Returns 0, -EBADMSG if the tag is wrong (then @out is wiped), or -EIO.
 */
int aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], const uint8_t *aad,
	      size_t aad_len, const uint8_t *in, size_t len, uint8_t *out);

/* Name of the provider that serves @k: "ipsec-mb", "libcrypto". */
const char *aead_key_provider(const struct aead_key *k);

/*
 * For `tlsulp doctor`: providers by index from 0; NULL after the last.
 * aead_provider_usable() tries to open it: 0, or -ENOENT (not installed),
 * -ENOTSUP (this CPU lacks what it needs). aead_provider_is_slow(): it has the
 * cipher, but on this CPU any other is taken first. aead_provider_version() is NULL
 * unless usable. aead_provider_hint() is the Debian package that has it.
 */
const char *aead_provider_name(int index);
int aead_provider_usable(int index);
bool aead_provider_has(int index, uint16_t cipher_type);
bool aead_provider_is_slow(int index, uint16_t cipher_type);
const char *aead_provider_version(int index);
const char *aead_provider_hint(int index);

#endif
