/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SOL_TLS socket options: what is valid, in which state, with which errno.
 * The homes copy option values in and out and make the AEAD's key schedule.
 */
#ifndef TLSULP_ENGINE_OPTIONS_H
#define TLSULP_ENGINE_OPTIONS_H

#include "engine/rx.h"
#include "engine/tx.h"

/*
 * TLS_TX or TLS_RX is to be set. @info are the @len bytes of the cipher's
 * struct (linux/tls.h), @old the keys of that direction and @other those of
 * the opposite one (version 0: not set).
 * Returns 0 and *@out for first keys, 1 and *@out for a key update, or
 *   -EINVAL  too short, bad version, unknown cipher, cipher not of this
 *            version, wrong length, or unlike the other direction (first keys)
 *            or unlike before (key update)
 *   -EBUSY   set already and not TLS 1.3
 */
int tls_options_keys(const struct tls_keys *old, const struct tls_keys *other, const void *info,
		     size_t len, struct tls_keys *out);

/* Would a failure of tls_options_keys() count as a failed key update? */
bool tls_options_is_rekey(const struct tls_keys *old);

void tls_options_set_tx(struct tls_tx *tx, const struct tls_keys *keys);
void tls_options_set_rx(struct tls_rx *rx, const struct tls_keys *keys);

/*
 * getsockopt(TLS_TX or TLS_RX) with room for *@len bytes: fills @info (at least
 * TLS_KEY_INFO_MAX bytes long) and sets *@len. Returns 0, -EINVAL or -EBUSY (not set).
 */
int tls_options_get_keys(const struct tls_keys *k, void *info, size_t *len);

/* TLS_TX_ZEROCOPY_RO: 0, or -EINVAL. */
int tls_options_set_zerocopy(struct tls_tx *tx, const void *val, size_t len);

/* TLS_RX_EXPECT_NO_PAD: 0, or -EINVAL (not TLS 1.3 with RX set, length, value). */
int tls_options_set_no_pad(struct tls_rx *rx, const void *val, size_t len);
int tls_options_get_no_pad(const struct tls_rx *rx, size_t len);

/* TLS_TX_MAX_PAYLOAD_LEN: 0, -EINVAL, or -EBUSY (a record is open). RFC 8449. */
int tls_options_set_max_payload(struct tls_tx *tx, const void *val, size_t len);

#endif
