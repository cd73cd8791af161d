/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A number that is closed under a call that sleeps on it. Linux holds on to the
 * socket until the call returns: the peer sees no FIN before, and what comes is
 * received. Here the connection gets another number for so long.
 */
#ifndef TLSULP_ASLEEP_H
#define TLSULP_ASLEEP_H

#include "user/conn.h"

/* Once in a call, before it sleeps for the first time, and under tx_lock or rx_lock. */
void asleep_begin(struct conn *c, bool *begun);

/* After a sleep: the number that the call goes on with; @fd unless it was closed. */
int asleep_number(struct conn *c, int fd);

/* At the end of the call; errno stays. */
void asleep_end(struct conn *c, bool begun);

/* In a fork's child, where nobody sleeps. */
void asleep_after_fork(struct conn *c);

#endif
