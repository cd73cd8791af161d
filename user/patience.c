// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/patience.h"

#include "user/conn.h"
#include "user/signals.h"
#include "user/tube.h"

#include <sys/socket.h>

#define BELIEVED 64 /* waits */

static uint32_t changes_of(struct conn *c)
{
	return __atomic_load_n(&conn_session(c)->patience_changes, __ATOMIC_ACQUIRE);
}

bool patience_is_known(struct conn *c)
{
	struct patience *p = &c->patience;
	uint32_t waits = __atomic_load_n(&p->waits, __ATOMIC_RELAXED);

	if (!waits || __atomic_load_n(&p->since, __ATOMIC_ACQUIRE) != changes_of(c) + 1)
		return false;
	__atomic_store_n(&p->waits, waits - 1, __ATOMIC_RELAXED);
	return true;
}

static void forget(struct patience *p)
{
	__atomic_store_n(&p->since, 0, __ATOMIC_RELEASE);
}

bool patience_ask(struct conn *c, int fd, struct deadline *d)
{
	struct patience *p = &c->patience;
	uint32_t changes = changes_of(c); /* what is set from now on counts as later */
	bool asks_both = !d->known;

	if (wait_is_nonblocking(fd, 0)) {
		forget(p);
		return false;
	}
	if (!wait_is_endless(fd, SO_SNDTIMEO, d)) {
		forget(p);
	} else if (asks_both && signals_are_seen() && conn_owns(c, fd)) {
		__atomic_store_n(&p->since, changes + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&p->waits, BELIEVED, __ATOMIC_RELAXED);
	}
	return true;
}

void patience_changed(struct session *s)
{
	__atomic_add_fetch(&s->patience_changes, 1, __ATOMIC_ACQ_REL);
}

void patience_changed_at(int fd)
{
	struct conn *c = tube_is(fd) ? NULL : conn_pin(fd); /* a pipe's bytes stay where they are */

	if (!c)
		return;
	patience_changed(conn_session(c));
	conn_unpin(c);
}
