/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether sends on a socket wait, and without an end. One that gets full for each message (a small
 * SO_SNDBUF, a slow reader) would be asked for O_NONBLOCK and SO_SNDTIMEO each time. Where libc's
 * names are ours, whoever sets one of them by a number that the library knows tells all that have
 * the socket; what was learnt before is not believed then. It is asked all the same now and then,
 * and after half a second of waiting, as a process without the library may have the socket, too.
 *
 * Safe from any thread and process.
 */
#ifndef TLSULP_PATIENCE_H
#define TLSULP_PATIENCE_H

#include "user/wait.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct session;

/* Of a connection, in this process. All zero: nothing is known. */
struct patience {
	uint32_t since; /* the session's patience_changes + 1 when it was learnt */
	uint32_t waits; /* so many more believe it */
};

/* Do sends wait until there is room, however long that takes? False: that is to be asked. */
bool patience_is_known(struct conn *c);

/*
 * Is a call without MSG_DONTWAIT to wait for room? Asks, and remembers if it waits without an end.
 * @d: its deadline.
 */
bool patience_ask(struct conn *c, int fd, struct deadline *d);

/* O_NONBLOCK or SO_SNDTIMEO of the session's socket may have been set; afterwards. */
void patience_changed(struct session *s);
/* The same of whatever @fd is. */
void patience_changed_at(int fd);

#endif
