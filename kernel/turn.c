// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/turn.h"

#include <linux/sched/signal.h>

void turn_init(struct turn *t)
{
	t->taken = false;
	init_waitqueue_head(&t->next);
}

static int wait_for_turn(struct turn *t, struct sock *sk, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err = 0;

	add_wait_queue_exclusive(&t->next, &wait);
	while (t->taken && !err) {
		if (!*timeo)
			err = -EAGAIN;
		else if (signal_pending(current))
			err = sock_intr_errno(*timeo);
		else if (sk_wait_event(sk, timeo, !READ_ONCE(t->taken), &wait) < 0)
			err = -EPIPE;
	}
	remove_wait_queue(&t->next, &wait);
	/* Who was woken and goes without a turn passes the call on. */
	if (err && !t->taken)
		wake_up(&t->next);
	return err;
}

int turn_take(struct turn *t, struct sock *sk, long *timeo)
{
	int err = 0;

	if (!*timeo)
		return 0;
	if (t->taken)
		err = wait_for_turn(t, sk, timeo);
	if (!err)
		WRITE_ONCE(t->taken, true);
	return err;
}

void turn_give(struct turn *t, bool had_one)
{
	if (!had_one)
		return;
	WRITE_ONCE(t->taken, false);
	if (waitqueue_active(&t->next))
		wake_up(&t->next);
}
