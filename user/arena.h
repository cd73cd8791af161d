/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The shared memory that sessions live in: anonymous, shared with children
 * forked later, without a descriptor or a path, not in core dumps; a session that
 * goes to another program, and only that, lies in a memfd (parcel.h). A process
 * puts new sessions only into an arena of its own, so a worker never maps the
 * keys of its sibling; inherited arenas stay mapped for inherited sessions.
 *
 * Pages are touched as they are used: an empty arena costs address space only.
 */
#ifndef TLSULP_ARENA_H
#define TLSULP_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/record.h"
#include "user/lock.h"

#define ARENA_BUFFER_SIZE 16896 /* one record with header and tag, or its plaintext */
#define ARENA_SESSION_BUFFERS 3 /* each can have one open, one of rest, and one received */
#define ARENA_PROCS 256
/* Who arrives waits so long for a lock; no call that means well has one longer. */
#define ARENA_PATIENCE_MS 5000
#define ARENA_HOLDER_WORDS (ARENA_PROCS / 64)

_Static_assert(ARENA_BUFFER_SIZE >= TLS_WIRE_MAX, "a buffer holds one whole record");

struct session;
struct arena;

/* An arena of this process for new sessions, or NULL (ENOMEM). */
struct arena *arena_current(void);

/*
 * An arena for one session that can go to another program (parcel.h), mapped
 * here, or NULL. arena_open_parcel() takes over the descriptor @fd, which
 * parcel_is_one(), of a parcel from elsewhere (or finds it mapped already, and
 * closes @fd): 0, or -EBADMSG (it makes no sense), -EBUSY (it is locked, and that
 * does not end), -ENOMEM.
 */
struct arena *arena_new_parcel(void);
int arena_open_parcel(int fd, struct arena **got);
void arena_address(struct arena *a, uint64_t cookie);
/* The parcel that the arena lies in; 0: anonymous memory. */
int arena_parcel(const struct arena *a);

/* A zeroed session slot, or NULL when the arena is full. */
struct session *arena_session_new(struct arena *a);
void arena_session_free(struct arena *a, struct session *s);

/*
 * A buffer of ARENA_BUFFER_SIZE bytes: an index from 1, or 0 (ENOMEM).
 * arena_buffer_free() wipes the first @secret bytes: those that held plaintext.
 */
uint32_t arena_buffer_new(struct arena *a);
void arena_buffer_free(struct arena *a, uint32_t buffer, size_t secret);
uint8_t *arena_buffer(struct arena *a, uint32_t buffer);

/*
 * The same into and out of a session's field @where, which changes together with
 * the list: a process killed in between loses no buffer, and none is in two places.
 * arena_buffer_take_own() is for a call that cannot go back: there are as many
 * buffers as all sessions can have fields for them.
 */
bool arena_buffer_take(struct arena *a, uint32_t *where);
void arena_buffer_take_own(struct arena *a, uint32_t *where);
void arena_buffer_give(struct arena *a, uint32_t *where, size_t secret);
bool arena_has_buffer(const struct arena *a, uint32_t buffer);

/*
 * Processes that hold sessions of the arena. A holder is a slot number; each
 * session has a bit for each holder.
 * arena_self() is this process's slot (taken on first use), -1 if all are taken.
 */
int arena_self(struct arena *a);
/*
 * Before fork: a slot for the child that will be, -1 if all are taken; also
 * said by arena_child(). In the child: it is now me.
 */
int arena_reserve_child(struct arena *a);
int arena_child(const struct arena *a);
void arena_become(struct arena *a);
/* A slot for a program that a parcel is sent to, -1 if all are taken. */
int arena_reserve_way(struct arena *a);
/*
 * This process got the parcel: its slot is the one that it had before exec, or one
 * that was reserved for the way, or a new one; -1 if all are taken.
 * A process that has it already asks arena_arrived() for the slot to release, or -1.
 */
int arena_arrive(struct arena *a);
int arena_arrived(struct arena *a);
/* Has this process a slot there already? */
bool arena_is_held(const struct arena *a);
/* A slot that was reserved for a program, which has not come yet, and perhaps never will. */
bool arena_holder_on_way(const struct arena *a, int slot);
/* Is the thread @tid this process's, or a holder's? */
bool arena_may_own(struct arena *a, pid_t tid);
/* A slot in use whose process is gone (or never came to be). */
bool arena_holder_dead(struct arena *a, int slot);
void arena_release_holder(struct arena *a, int slot);

/* The next session in use from *@index (start with 0), which moves past it; NULL: no more. */
struct session *arena_session_next(struct arena *a, uint32_t *index);

/* This process maps the arena for one conn more or less; unmapped at 0 unless current. */
void arena_ref(struct arena *a);
void arena_unref(struct arena *a);

/*
 * After fork, in the child: the arenas are other processes' now, and none is
 * current. Those that hold nothing of ours are unmapped by the second call,
 * once the conns are in order.
 */
void arena_after_fork(void);
void arena_unmap_unused(void);

/* Visit each arena that this process has conns in. */
void arena_each(void (*visit)(struct arena *a));

/* Tests: let the @n-th buffer allocation from now on fail (1: the next); 0: none. */
void arena_fail_buffer(unsigned int n);

#endif
