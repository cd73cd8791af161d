/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session moves into a parcel (parcel.h), to go to another program with its
 * socket, and is found there by that program.
 */
#ifndef TLSULP_HANDOVER_H
#define TLSULP_HANDOVER_H

#include "user/conn.h"

/*
 * Get the session ready to go: it moves into a parcel. All must know of that who
 * will ever hold it, so only its one holder can do it. 0 (also if it is in one already),
 * -EBUSY (others hold it where it is, or this is a vfork child), -EBADF, -ENOMEM, -EMFILE.
 */
int handover_pack(struct conn *c);

/*
 * Before a child is made: all that this process has, unless they are many. Once
 * there is another holder, a session cannot move any more, and the child may want to run a program.
 */
void handover_pack_few(void);

/*
 * A program is about to get the session of @c, which is packed: it holds it from
 * now on. A holder's slot, or -ENFILE; handover_cancel() if it will not come.
 */
int handover_reserve(struct conn *c);
void handover_cancel(struct conn *c, int slot);

/*
 * The parcel @fd came with sockets, and is taken over. The session's arena: 0, or as
 * arena_open_parcel(). Then each of the sockets is offered to it: 0, -ENOENT
 * (another connection's), -EBADMSG (the session is no good, or no memory), -EBUSY
 * (somebody has its lock, and keeps it): shut the socket down. Last, let go of the arena.
 */
int handover_open(int fd, struct arena **got);
int handover_unpack(int fd, struct arena *a);
void handover_close(struct arena *a);
/* The socket was shut down: whoever else has the session can do nothing more with it. */
void handover_refuse(struct arena *a);

#endif
