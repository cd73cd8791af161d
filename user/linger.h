/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Accepted means delivered: what send() accepted and the socket did not take is
 * written later, also if the program never sends again, closes, or exits.
 *
 * In order: the program's own next call; a thread that looks after sockets with
 * a rest (started when the first rest is left behind, all signals blocked); a
 * larger SO_SNDBUF before close, shutdown and exit; and, where even that does
 * not help before close, the thread with a duplicate of the descriptor, which is
 * one more number of the connection and keeps the session alive.
 */
#ifndef TLSULP_LINGER_H
#define TLSULP_LINGER_H

#include "user/conn.h"

/* @fd returns to its program with ciphertext left. Signals and locks are not held. */
void linger_note(struct conn *c, int fd);

/* Before the number @fd goes away. */
void linger_before_close(struct conn *c, int fd);

/* Before SHUT_WR: true if the shutdown is left to the thread (it follows the rest). */
bool linger_before_shutdown(struct conn *c, int fd, int how);

/*
 * The process becomes another program, or ends: nothing can be left behind. Waits
 * if it must. What is left of a session that goes along (@goes) goes with it.
 */
void linger_before_exec(bool (*goes)(const struct conn *c));
void linger_before_exit(void);

/* In a forked child: the thread and its work stayed with the parent. */
void linger_after_fork(void);

#endif
