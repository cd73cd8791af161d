/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records -> plaintext: what to open next and what a call may return.
 *
 * The home gives five header bytes to tls_rx_header() and learns the length of
 * the body; opens the body as tls_rx_plan() says; gives the decrypted bytes to
 * tls_rx_opened() and learns type and length; asks tls_rx_admit() whether the
 * call under way may return this record; and tells tls_rx_consumed() when the
 * record's last byte has been handed out.
 */
#ifndef TLSULP_ENGINE_RX_H
#define TLSULP_ENGINE_RX_H

#include "engine/record.h"

struct tls_rx {
	struct tls_keys keys;
	uint32_t key_gen;
	uint8_t header[TLS_HEADER_LEN]; /* of the next record */
	uint8_t header_len; /* how many of them are known */
	bool no_pad; /* TLS_RX_EXPECT_NO_PAD */
	bool paused; /* a KeyUpdate was delivered, the new key is awaited */
	bool stopped; /* a bad header was reported: there are no records any more */
	int16_t error; /* not 0: this negative errno on every read */
};

void tls_rx_init(struct tls_rx *rx);

static inline bool tls_rx_is_set(const struct tls_rx *rx)
{
	return tls_keys_are_set(&rx->keys);
}

/* May records be opened? 0, rx->error, or -EKEYEXPIRED while paused. */
int tls_rx_ready(const struct tls_rx *rx);

/*
 * The length of the body that follows the complete header, or a negative errno
 * (tls_record_header()). After an error the caller calls tls_rx_stop().
 */
int tls_rx_header(const struct tls_rx *rx);

/* A header made no sense: nothing after it can be found again. */
void tls_rx_stop(struct tls_rx *rx);

/*
 * Plan the opening of the record @ahead of the next. Returns 0, or -EBADMSG
 * where the sequence number would wrap.
 */
int tls_rx_plan(const struct tls_rx *rx, uint64_t ahead, const uint8_t header[TLS_HEADER_LEN],
		const uint8_t *body, size_t body_len, struct tls_record *r);

/*
 * The record authenticated: its type and plaintext length from its decrypted
 * bytes. Returns 0, -EBADMSG (TLS 1.3: no content type in it) or -EMSGSIZE
 * (RFC 8446 section 5.4: plaintext over the limit).
 */
int tls_rx_opened(const struct tls_rx *rx, const struct tls_record *r, const uint8_t *plain,
		  uint8_t *type, size_t *plain_len);

/* That record left the wire: its sequence number is used, the header is unknown again. */
void tls_rx_advance(struct tls_rx *rx);

/*
 * The record was handed out whole. @first is its first plaintext byte (or 0 if
 * it has none). Returns true if it was a KeyUpdate of TLS 1.3 (RFC 8446 section
 * 4.6.3): then rx pauses.
 */
bool tls_rx_consumed(struct tls_rx *rx, uint8_t type, uint8_t first, size_t plain_len);

/* No record is opened any more; every later read returns @error (negative). */
void tls_rx_fail(struct tls_rx *rx, int error);

/* What one call of recv has returned so far. */
struct tls_rx_call {
	bool has_control; /* msg_control has room for the record type */
	uint8_t type; /* of the records in this call; 0: none yet */
};

/*
 * May this call return (more of) a record of @type? 1: yes, *@first_of_call
 * tells whether the record type's cmsg is due now. 0: no, a call never mixes
 * types. -EIO: not data, and no room to say so.
 */
int tls_rx_admit(struct tls_rx_call *call, uint8_t type, bool *first_of_call);

#endif
