/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The counters of /proc/net/tls_stat (Documentation/networking/tls.rst,
 * "Statistics"), under the names and in the order that Linux 7.2 prints them.
 * The homes own the storage and do the counting.
 */
#ifndef TLSULP_ENGINE_STATS_H
#define TLSULP_ENGINE_STATS_H

enum tls_stat {
	TLS_STAT_CURR_TX_SW,
	TLS_STAT_CURR_RX_SW,
	TLS_STAT_CURR_TX_DEVICE,
	TLS_STAT_CURR_RX_DEVICE,
	TLS_STAT_TX_SW,
	TLS_STAT_RX_SW,
	TLS_STAT_TX_DEVICE,
	TLS_STAT_RX_DEVICE,
	TLS_STAT_DECRYPT_ERROR,
	TLS_STAT_RX_DEVICE_RESYNC,
	TLS_STAT_DECRYPT_RETRY,
	TLS_STAT_RX_NO_PAD_VIOLATION,
	TLS_STAT_RX_REKEY_OK,
	TLS_STAT_RX_REKEY_ERROR,
	TLS_STAT_TX_REKEY_OK,
	TLS_STAT_TX_REKEY_ERROR,
	TLS_STAT_RX_REKEY_RECEIVED,
	TLS_STAT_COUNT
};

/* "TlsCurrTxSw" and so on; NULL if @stat is out of range. */
const char *tls_stat_name(unsigned int stat);

#endif
