// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What socket diagnosis tells of a socket: ss -tie. */
#include <linux/inet_diag.h>
#include <net/netlink.h>

#include "kernel/room.h"

static int conf(bool is_set)
{
	return is_set ? TLS_CONF_SW : TLS_CONF_BASE;
}

static int put_keys(struct sk_buff *skb, const struct ktls *k)
{
	const struct tls_keys *tx = &k->tx.engine.keys, *rx = &k->rx.engine.keys;
	const struct tls_keys *keys = tx->version ? tx : rx;

	if (keys->version && (nla_put_u16(skb, TLS_INFO_VERSION, keys->version) ||
			      nla_put_u16(skb, TLS_INFO_CIPHER, keys->cipher)))
		return -EMSGSIZE;
	if (nla_put_u16(skb, TLS_INFO_TXCONF, conf(tx->version)) ||
	    nla_put_u16(skb, TLS_INFO_RXCONF, conf(rx->version)))
		return -EMSGSIZE;
	return 0;
}

static int put_options(struct sk_buff *skb, const struct ktls *k)
{
	if (k->tx.engine.zerocopy_ro && nla_put_flag(skb, TLS_INFO_ZC_RO_TX))
		return -EMSGSIZE;
	if (k->rx.engine.no_pad && nla_put_flag(skb, TLS_INFO_RX_NO_PAD))
		return -EMSGSIZE;
	return nla_put_u16(skb, TLS_INFO_TX_MAX_PAYLOAD_LEN, k->tx.engine.max_payload);
}

int ktls_get_info(struct sock *sk, struct sk_buff *skb COMPAT_INFO_ARGS)
{
	struct nlattr *start = nla_nest_start_noflag(skb, INET_ULP_INFO_TLS);
	const struct ktls *k;
	int err = 0;

	if (!start)
		return -EMSGSIZE;
	rcu_read_lock();
	k = (const struct ktls *)rcu_dereference(inet_csk(sk)->icsk_ulp_data);
	if (k)
		err = put_keys(skb, k) ?: put_options(skb, k);
	rcu_read_unlock();
	if (err)
		nla_nest_cancel(skb, start);
	else
		nla_nest_end(skb, start);
	return err;
}

size_t ktls_get_info_size(const struct sock *sk COMPAT_INFO_ARGS)
{
	return nla_total_size(0) + /* INET_ULP_INFO_TLS */
	       4 * nla_total_size(sizeof(u16)) + /* version, cipher, TXCONF, RXCONF */
	       2 * nla_total_size(0) + /* ZC_RO_TX, RX_NO_PAD */
	       nla_total_size(sizeof(u16)); /* TX_MAX_PAYLOAD_LEN */
}
