// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine/rx.h"

#define HANDSHAKE_KEY_UPDATE 24 /* RFC 8446 section 4 */

void tls_rx_init(struct tls_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
}

int tls_rx_ready(const struct tls_rx *rx)
{
	if (rx->error)
		return rx->error;
	return rx->paused ? -EKEYEXPIRED : 0;
}

int tls_rx_header(const struct tls_rx *rx)
{
	return tls_record_header(&rx->keys, rx->header);
}

void tls_rx_stop(struct tls_rx *rx)
{
	rx->stopped = true;
}

int tls_rx_plan(const struct tls_rx *rx, uint64_t ahead, const uint8_t header[TLS_HEADER_LEN],
		const uint8_t *body, size_t body_len, struct tls_record *r)
{
	if (UINT64_MAX - rx->keys.seq <= ahead)
		return -EBADMSG;
	tls_record_open(&rx->keys, ahead, header, body, body_len, r);
	return 0;
}

int tls_rx_opened(const struct tls_rx *rx, const struct tls_record *r, const uint8_t *plain,
		  uint8_t *type, size_t *plain_len)
{
	int err = tls_record_inner(&rx->keys, plain, r->plain_len, r->inner_type, type, plain_len);

	if (err)
		return err;
	return *plain_len > TLS_PAYLOAD_MAX ? -EMSGSIZE : 0;
}

void tls_rx_advance(struct tls_rx *rx)
{
	rx->keys.seq++;
	rx->keys.explicit_nonce++;
	rx->header_len = 0;
}

bool tls_rx_consumed(struct tls_rx *rx, uint8_t type, uint8_t first, size_t plain_len)
{
	if (rx->keys.version != TLSULP_VERSION_1_3 || type != TLSULP_HANDSHAKE || !plain_len ||
	    first != HANDSHAKE_KEY_UPDATE)
		return false;
	rx->paused = true;
	return true;
}

void tls_rx_fail(struct tls_rx *rx, int error)
{
	if (!rx->error)
		rx->error = error;
}

int tls_rx_admit(struct tls_rx_call *call, uint8_t type, bool *first_of_call)
{
	*first_of_call = call->type == 0;
	if (call->type)
		return call->type == type;
	if (type != TLSULP_DATA && !call->has_control)
		return -EIO;
	call->type = type;
	return 1;
}
