/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plaintext -> records: what to seal next. The home keeps the bytes that
 * MSG_MORE gathers; the engine keeps how many there are.
 *
 * A send is: tls_tx_begin() once; then, while bytes are left, tls_tx_next()
 * says how many of them the record in progress takes and whether it ends there.
 * tls_tx_plan() describes that record; records that have given at least one
 * byte to the socket are committed with tls_tx_commit(), the others never
 * happened and their numbers are used again.
 */
#ifndef TLSULP_ENGINE_TX_H
#define TLSULP_ENGINE_TX_H

#include "engine/record.h"

struct tls_tx {
	struct tls_keys keys;
	uint32_t key_gen; /* grows with each key installed */
	uint16_t max_payload; /* TLS_TX_MAX_PAYLOAD_LEN */
	uint16_t open_len; /* plaintext bytes that MSG_MORE has gathered */
	bool zerocopy_ro; /* TLS_TX_ZEROCOPY_RO */
	int16_t error; /* not 0: this negative errno for ever */
};

void tls_tx_init(struct tls_tx *tx);

static inline bool tls_tx_is_set(const struct tls_tx *tx)
{
	return tls_keys_are_set(&tx->keys);
}

/*
 * May a send with these MSG_ flags start? Returns 0, -EOPNOTSUPP (a flag that
 * the ULP does not know), -EINVAL (MSG_MORE with MSG_EOR), or tx->error.
 */
int tls_tx_begin(const struct tls_tx *tx, unsigned int flags);

/*
 * One control message of level SOL_TLS given to sendmsg: its type, the number
 * of data bytes, its first byte. Returns the record type to send, or -EINVAL.
 */
int tls_tx_cmsg(int cmsg_type, size_t data_len, uint8_t first, unsigned int flags);

/*
 * @avail bytes wait to be sent, @more of them will come (MSG_MORE), @open are
 * in the record in progress. Returns how many join it; *@ends tells whether it
 * is complete then.
 */
size_t tls_tx_next(const struct tls_tx *tx, size_t open, size_t avail, bool more, bool *ends);

/*
 * Plan the record @ahead of the next. Returns 0, or -EBADMSG where its sequence
 * number would be the last one: that one is never used, so none repeats
 * (RFC 8446 section 5.3); the caller then calls tls_tx_fail().
 */
int tls_tx_plan(const struct tls_tx *tx, uint64_t ahead, uint8_t type, size_t plain_len,
		struct tls_record *r);

/* @n records have begun to leave: their sequence numbers and nonces are used up. */
void tls_tx_commit(struct tls_tx *tx, uint64_t n);

/* No record may leave any more; every later send returns @error (negative). */
void tls_tx_fail(struct tls_tx *tx, int error);

#endif
