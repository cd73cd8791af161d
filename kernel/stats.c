// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The counters, one set for each network namespace. They are not the kernel's
 * own TLS MIB: an older one lacks the newer names.
 */
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "kernel/room.h"

struct counters {
	long n[TLS_STAT_COUNT];
};

struct stats_net {
	struct counters __percpu *counters;
};

static unsigned int stats_id;

static struct counters __percpu *counters_of(const struct net *net)
{
	struct stats_net *s = net_generic(net, stats_id);

	return s->counters;
}

void stats_add(const struct sock *sk, enum tls_stat stat, int n)
{
	this_cpu_add(counters_of(sock_net(sk))->n[stat], n);
}

static int __net_init counters_init(struct net *net)
{
	struct stats_net *s = net_generic(net, stats_id);

	s->counters = alloc_percpu(struct counters);
	return s->counters ? 0 : -ENOMEM;
}

static void __net_exit counters_exit(struct net *net)
{
	free_percpu(counters_of(net));
}

static struct pernet_operations counters_ops = {
	.init = counters_init,
	.exit = counters_exit,
	.id = &stats_id,
	.size = sizeof(struct stats_net),
};

static int show(struct seq_file *seq, void *v)
{
	struct counters __percpu *counters = counters_of(seq->private);

	for (unsigned int i = 0; i < TLS_STAT_COUNT; i++) {
		unsigned long sum = 0;
		int cpu;

		for_each_possible_cpu (cpu)
			sum += per_cpu_ptr(counters, cpu)->n[i];
		seq_printf(seq, "%-32s\t%lu\n", tls_stat_name(i), sum);
	}
	return 0;
}

static int __net_init proc_init(struct net *net)
{
	return proc_create_net_single("tls_stat", 0444, net->proc_net, show, NULL) ? 0 : -ENOMEM;
}

static void __net_exit proc_exit(struct net *net)
{
	remove_proc_entry("tls_stat", net->proc_net);
}

static struct pernet_operations proc_ops = {
	.init = proc_init,
	.exit = proc_exit,
};

int stats_init(void)
{
	return register_pernet_subsys(&counters_ops);
}

void stats_exit(void)
{
	unregister_pernet_subsys(&counters_ops);
}

int stats_proc_init(void)
{
	return register_pernet_subsys(&proc_ops);
}

void stats_proc_exit(void)
{
	unregister_pernet_subsys(&proc_ops);
}
