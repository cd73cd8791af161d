// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/handover.h"

#include "user/holders.h"
#include "user/process.h"
#include "user/real.h"
#include "user/stats.h"

#include <errno.h>
#include <string.h>

static bool copy_buffer(struct arena *to, uint32_t *new, struct arena *from, uint32_t old)
{
	*new = 0;
	if (!old)
		return true;
	if (!arena_buffer_take(to, new))
		return false;
	memcpy(arena_buffer(to, *new), arena_buffer(from, old), ARENA_BUFFER_SIZE);
	return true;
}

static bool copy_session(struct arena *to_arena, struct session *to, struct arena *from_arena,
			 const struct session *from)
{
	memcpy((uint8_t *)to + SESSION_WIPE_FROM, (const uint8_t *)from + SESSION_WIPE_FROM,
	       sizeof(*to) - SESSION_WIPE_FROM);
	memset(to->holders, 0, sizeof(to->holders));
	return copy_buffer(to_arena, &to->tx.open_buffer, from_arena, from->tx.open_buffer) &&
	       copy_buffer(to_arena, &to->tx.rest_buffer, from_arena, from->tx.rest_buffer) &&
	       copy_buffer(to_arena, &to->rx.buffer, from_arena, from->rx.buffer);
}

/* What stays is enough for who looks without a lock, until the last such call is over. */
static void leave_session(struct arena *a, struct session *s)
{
	session_give_buffers(s, a);
	memset(s->holders, 0, sizeof(s->holders));
	session_wipe(s);
}

/* Under both locks, and nobody else has it. */
static int move_to_parcel(struct conn *c)
{
	struct arena *a = arena_new_parcel(), *old_arena = c->arena;
	struct session *s = a ? arena_session_new(a) : NULL, *old = c->session;

	if (!a)
		return -ENOMEM;
	arena_ref(a);
	if (!s || arena_self(a) < 0 || !copy_session(a, s, old_arena, old)) {
		arena_unref(a); /* the kernel wipes its pages */
		return -ENOMEM;
	}
	holders_add(s, arena_self(a));
	arena_address(a, s->cookie);
	conn_move(c, a, s);
	/* One that was told to the old one may have come too late for the copy. */
	patience_changed(s);
	leave_session(old_arena, old);
	return 0;
}

int handover_pack(struct conn *c)
{
	struct conn_guard g;
	struct session *s;
	int err;

	if (arena_parcel(c->arena))
		return 0;
	if (process_is_vfork_child())
		return -EBUSY; /* the memfd would be the child's alone */
	s = conn_lock(c, &g);
	if (arena_parcel(c->arena))
		err = 0;
	else if (!conn_is_usable(c) || s->dead)
		err = -EBADF;
	else
		err = holders_are_others(c->arena, s) ? -EBUSY : move_to_parcel(c);
	conn_unlock(s, &g);
	return err;
}

#define PACK_MAX 64 /* each costs a descriptor */

static void pack(int fd, struct conn *c)
{
	handover_pack(c);
}

void handover_pack_few(void)
{
	if (conn_count() && conn_count() <= PACK_MAX && !process_is_vfork_child())
		conn_each_fd(pack);
}

int handover_reserve(struct conn *c)
{
	int slot = arena_reserve_way(c->arena);

	if (slot < 0)
		holders_sweep(c->arena);
	if (slot < 0)
		slot = arena_reserve_way(c->arena);
	if (slot < 0)
		return -ENFILE;
	holders_add(c->session, slot);
	return slot;
}

void handover_cancel(struct conn *c, int slot)
{
	holders_drop(c->arena, c->session, slot);
	arena_release_holder(c->arena, slot);
}

static struct session *session_in(struct arena *a)
{
	uint32_t i = 0;

	return arena_session_next(a, &i);
}

int handover_open(int fd, struct arena **got)
{
	struct arena *a;
	int slot, err;

	conn_after_fork();
	err = arena_open_parcel(fd, &a);
	if (err)
		return err;
	arena_ref(a);
	/* Peeked messages come again, and some sockets come back to where they are known. */
	slot = arena_is_held(a) ? arena_arrived(a) : -1;
	if (slot >= 0) {
		holders_remove(session_in(a), slot);
		arena_release_holder(a, slot);
	}
	slot = arena_arrive(a);
	if (slot >= 0) {
		holders_add(session_in(a), slot);
		*got = a;
		return 0;
	}
	handover_close(a);
	return -ENOMEM;
}

/*
 * Whoever has the session's lock is in the midst of a short change, or dead, or means
 * no good: such a session is nobody's any more. 0, -EBUSY, -EBADMSG.
 */
static int settle_lock(struct session *s, struct lock *l)
{
	const struct lock_owners owners = { .patience_ms = ARENA_PATIENCE_MS };
	struct lock_guard g;
	int err;

	lock_mask_signals(&g);
	err = lock_take_from(l, &owners);
	if (err)
		s->dead = true;
	if (err != -ETIMEDOUT)
		lock_drop(l);
	lock_restore_signals(&g);
	return err == -ETIMEDOUT ? -EBUSY : err ? -EBADMSG : 0;
}

static int settle(struct session *s)
{
	int err = settle_lock(s, &s->tx_lock);

	return err ? err : settle_lock(s, &s->rx_lock);
}

int handover_unpack(int fd, struct arena *a)
{
	struct session *s = session_in(a);
	struct conn *c;
	int err;

	if ((unsigned int)fd >= FDTAB_SIZE || !s || !real_is_socket(fd, s->cookie))
		return -ENOENT;
	if (fdtab_get(fd))
		return 0;
	c = conn_of_session(s);
	if (c) {
		conn_add_fd(c, fd);
		conn_unpin(c);
		return 0;
	}
	err = settle(s);
	if (!err && (s->magic != SESSION_MAGIC || !session_tx_is_sane(s, a) ||
		     !session_rx_is_sane(s, a) || conn_make(fd, a, s)))
		err = -EBADMSG;
	if (err)
		return err;
	stats_conn_came(s, fd);
	return 0;
}

void handover_close(struct arena *a)
{
	struct session *s = session_in(a);

	/* No socket of it came along. */
	if (s && arena_is_held(a) && !conn_uses(a))
		holders_drop(a, s, arena_self(a));
	arena_unref(a);
}

void handover_refuse(struct arena *a)
{
	struct session *s = session_in(a);

	if (!s)
		return;
	s->dead = true;
	session_wipe_keys(s);
}
