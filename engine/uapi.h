/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The numbers of the TLS ULP's socket interface (linux/tls.h, linux/socket.h
 * of Linux 7.2), spelt out here because the headers of a long-term system
 * lack the newer ones.
 */
#ifndef TLSULP_ENGINE_UAPI_H
#define TLSULP_ENGINE_UAPI_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/string.h>
#include <linux/errno.h>

#define UINT64_MAX (~0ULL)
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#endif

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* Socket options of level SOL_TLS */
enum {
	TLSULP_TX = 1,
	TLSULP_RX = 2,
	TLSULP_TX_ZEROCOPY_RO = 3,
	TLSULP_RX_EXPECT_NO_PAD = 4,
	TLSULP_TX_MAX_PAYLOAD_LEN = 5,
};

/* Control messages of level SOL_TLS */
enum {
	TLSULP_SET_RECORD_TYPE = 1,
	TLSULP_GET_RECORD_TYPE = 2,
};

#define TLSULP_VERSION_1_2 0x0303
#define TLSULP_VERSION_1_3 0x0304

enum {
	TLSULP_AES_GCM_128 = 51,
	TLSULP_AES_GCM_256 = 52,
	TLSULP_AES_CCM_128 = 53,
	TLSULP_CHACHA20_POLY1305 = 54,
	TLSULP_SM4_GCM = 55,
	TLSULP_SM4_CCM = 56,
	TLSULP_ARIA_GCM_128 = 57,
	TLSULP_ARIA_GCM_256 = 58,
};

/* The flags of send and recv that the ULP knows (linux/socket.h) */
enum {
	TLSULP_MSG_PEEK = 0x2,
	TLSULP_MSG_DONTWAIT = 0x40,
	TLSULP_MSG_EOR = 0x80,
	TLSULP_MSG_WAITALL = 0x100,
	TLSULP_MSG_NOSIGNAL = 0x4000,
	TLSULP_MSG_MORE = 0x8000,
};

/* Content types (RFC 8446 section 5.1) */
enum {
	TLSULP_ALERT = 21,
	TLSULP_HANDSHAKE = 22,
	TLSULP_DATA = 23,
};

#endif
