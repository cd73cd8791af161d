// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The rest of exports.c, with the headers that their CRCs come from. */
#include <crypto/aead.h>
#include <crypto/scatterwalk.h>
#include <linux/skmsg.h>
#include <net/ip6_checksum.h>
#include <net/tls.h>

struct sk_buff *tls_validate_xmit_skb(struct sock *sk, struct net_device *dev, struct sk_buff *skb)
{
	return skb;
}
EXPORT_SYMBOL_GPL(tls_validate_xmit_skb);

struct sk_buff *tls_encrypt_skb(struct sk_buff *skb)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(tls_encrypt_skb);
