// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine/tx.h"

#define TX_FLAGS (TLSULP_MSG_MORE | TLSULP_MSG_EOR | TLSULP_MSG_DONTWAIT | TLSULP_MSG_NOSIGNAL)

void tls_tx_init(struct tls_tx *tx)
{
	memset(tx, 0, sizeof(*tx));
	tx->max_payload = TLS_PAYLOAD_MAX;
}

int tls_tx_begin(const struct tls_tx *tx, unsigned int flags)
{
	if (flags & ~TX_FLAGS)
		return -EOPNOTSUPP;
	if ((flags & TLSULP_MSG_MORE) && (flags & TLSULP_MSG_EOR))
		return -EINVAL;
	return tx->error;
}

int tls_tx_cmsg(int cmsg_type, size_t data_len, uint8_t first, unsigned int flags)
{
	if (cmsg_type != TLSULP_SET_RECORD_TYPE || data_len < 1 || (flags & TLSULP_MSG_MORE))
		return -EINVAL;
	return first;
}

size_t tls_tx_next(const struct tls_tx *tx, size_t open, size_t avail, bool more, bool *ends)
{
	size_t room = tx->max_payload > open ? tx->max_payload - open : 0;
	size_t take = avail < room ? avail : room;

	*ends = take == room || !more;
	return take;
}

int tls_tx_plan(const struct tls_tx *tx, uint64_t ahead, uint8_t type, size_t plain_len,
		struct tls_record *r)
{
	if (UINT64_MAX - tx->keys.seq <= ahead)
		return -EBADMSG;
	tls_record_seal(&tx->keys, ahead, type, plain_len, r);
	return 0;
}

void tls_tx_commit(struct tls_tx *tx, uint64_t n)
{
	tx->keys.seq += n;
	tx->keys.explicit_nonce += n;
}

void tls_tx_fail(struct tls_tx *tx, int error)
{
	if (!tx->error)
		tx->error = error;
}
