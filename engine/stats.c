// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine/stats.h"

#include "engine/uapi.h"

static const char *const names[TLS_STAT_COUNT] = {
	[TLS_STAT_CURR_TX_SW] = "TlsCurrTxSw",
	[TLS_STAT_CURR_RX_SW] = "TlsCurrRxSw",
	[TLS_STAT_CURR_TX_DEVICE] = "TlsCurrTxDevice",
	[TLS_STAT_CURR_RX_DEVICE] = "TlsCurrRxDevice",
	[TLS_STAT_TX_SW] = "TlsTxSw",
	[TLS_STAT_RX_SW] = "TlsRxSw",
	[TLS_STAT_TX_DEVICE] = "TlsTxDevice",
	[TLS_STAT_RX_DEVICE] = "TlsRxDevice",
	[TLS_STAT_DECRYPT_ERROR] = "TlsDecryptError",
	[TLS_STAT_RX_DEVICE_RESYNC] = "TlsRxDeviceResync",
	[TLS_STAT_DECRYPT_RETRY] = "TlsDecryptRetry",
	[TLS_STAT_RX_NO_PAD_VIOLATION] = "TlsRxNoPadViolation",
	[TLS_STAT_RX_REKEY_OK] = "TlsRxRekeyOk",
	[TLS_STAT_RX_REKEY_ERROR] = "TlsRxRekeyError",
	[TLS_STAT_TX_REKEY_OK] = "TlsTxRekeyOk",
	[TLS_STAT_TX_REKEY_ERROR] = "TlsTxRekeyError",
	[TLS_STAT_RX_REKEY_RECEIVED] = "TlsRxRekeyReceived",
};

const char *tls_stat_name(unsigned int stat)
{
	return stat < TLS_STAT_COUNT ? names[stat] : NULL;
}
