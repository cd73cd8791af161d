// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the in-tree module exports, for the drivers that link to it (bonding and
 * some of NICs). There is no offload here: they are never called for a socket.
 *
 * With MODVERSIONS a symbol's CRC comes from all types that can be seen where it
 * is exported, however deep: hence these headers, and another file for the others.
 */
#include <crypto/aead.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/skmsg.h>
#include <linux/tracepoint.h>
#include <net/dst.h>
#include <net/inet_connection_sock.h>
#include <net/tcp.h>
#include <net/tls.h>

struct tls_record_info *tls_get_record(struct tls_offload_context_tx *context, u32 seq,
				       u64 *p_record_sn)
{
	return NULL;
}
EXPORT_SYMBOL(tls_get_record);

#ifdef CONFIG_TLS_DEVICE
void tls_device_sk_destruct(struct sock *sk)
{
}
EXPORT_SYMBOL_GPL(tls_device_sk_destruct);

void tls_offload_tx_resync_request(struct sock *sk, u32 got_seq, u32 exp_seq)
{
}
EXPORT_SYMBOL_GPL(tls_offload_tx_resync_request);
#endif
