/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls that may wait take turns, the readers of a socket and its writers: what
 * one sends or awaits is not torn apart by another, and only one is woken when
 * there is something to do.
 */
#ifndef TLSULP_KERNEL_TURN_H
#define TLSULP_KERNEL_TURN_H

#include <linux/wait.h>
#include <net/sock.h>

struct turn {
	bool taken;
	wait_queue_head_t next;
};

void turn_init(struct turn *t);

/*
 * Under the socket's lock, which is given up meanwhile. *@timeo 0: nobody waits,
 * and there is no turn. 0, or the errno of a call that waited in vain.
 */
int turn_take(struct turn *t, struct sock *sk, long *timeo);
void turn_give(struct turn *t, bool had_one);

#endif
