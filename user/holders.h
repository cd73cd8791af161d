/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who holds a session: a bit in it for the arena slot of each process (arena.h).
 * With the last one the session ends. Safe from any thread and process.
 */
#ifndef TLSULP_HOLDERS_H
#define TLSULP_HOLDERS_H

#include "user/arena.h"
#include "user/session.h"

void holders_add(struct session *s, int slot);

/* holders_drop() ends the session with its last holder; holders_remove() leaves it. */
void holders_drop(struct arena *a, struct session *s, int slot);
void holders_remove(struct session *s, int slot);

/*
 * Are there others than this process? Those that died without letting go are
 * found out where it matters, which is here.
 */
bool holders_are_others(struct arena *a, struct session *s);
/* The same without those that are on their way. */
bool holders_are_others_here(struct arena *a, struct session *s);

/* All slots are taken: take back those of processes that died without a word, and what they held.
 */
void holders_sweep(struct arena *a);

#endif
