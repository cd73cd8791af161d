// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The module: it registers the TCP ULP "tls". */
#include <linux/module.h>

#include "kernel/room.h"

static bool is_up;

/* No socket is taken while the module may still fail to load. */
static int attach(struct sock *sk)
{
	return READ_ONCE(is_up) ? ktls_attach(sk) : -ENOENT;
}

static struct tcp_ulp_ops ulp_ops = {
	.name = "tls",
	.owner = THIS_MODULE,
	.init = attach,
	.get_info = ktls_get_info,
	.get_info_size = ktls_get_info_size,
};

/*
 * /proc/net/tls_stat comes last: where the kernel has a ULP "tls" built in, the
 * name is taken, which tcp_register_ulp() tells without a warning in the log.
 */
static int __init ktls_init(void)
{
	int err = stats_init();

	if (err)
		return err;
	err = tcp_register_ulp(&ulp_ops);
	if (err)
		goto no_ulp;
	err = stats_proc_init();
	if (err)
		goto no_proc;
	WRITE_ONCE(is_up, true);
	return 0;
no_proc:
	tcp_unregister_ulp(&ulp_ops);
no_ulp:
	stats_exit();
	return err;
}

static void __exit ktls_exit(void)
{
	stats_proc_exit();
	tcp_unregister_ulp(&ulp_ops);
	ktls_forget_tables();
	stats_exit();
}

module_init(ktls_init);
module_exit(ktls_exit);
MODULE_AUTHOR("The tlsulp authors");
MODULE_DESCRIPTION("TLS upper layer protocol for TCP sockets (tlsulp)");
MODULE_LICENSE("Dual BSD/GPL");
/* Without one DKMS takes it for the in-tree module, and does not install it. */
MODULE_VERSION("0.1.0");
MODULE_ALIAS_TCP_ULP("tls");
