// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/arena.h"

#include "user/process.h"
#include "user/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define ARENA_SESSIONS_MAX 32768u
#define ARENA_SESSIONS_MIN 512u
#define RESERVED_SECONDS 60

/* A process that shares the arena. */
struct holder {
	uint32_t used;
	int32_t pid; /* 0: reserved for a child that is being forked */
	uint64_t start; /* its start time; while reserved: seconds when that was */
};

/*
 * The head of the mapping; all offsets are indices, so it may be mapped anywhere.
 * Every change of a list is one store, after those it needs: a process killed
 * under the lock loses one slot at most, and no buffer: repair_buffers().
 */
struct arena_head {
	struct lock lock; /* lists and holders */
	uint32_t sessions, buffers; /* capacities */
	uint32_t session_top, buffer_top; /* never used beyond */
	uint32_t session_free, buffer_free; /* list heads: index + 1; 0: empty */
	uint32_t generation;
	struct holder holders[ARENA_PROCS];
};

struct session_slot {
	uint32_t next_free;
	uint32_t used;
	struct session session;
};

/* This process's view of an arena. */
struct arena {
	struct arena *next;
	struct arena_head *head;
	size_t size;
	struct session_slot *slots;
	uint8_t *buffers;
	uint32_t refs; /* conns of this process in it */
	int self; /* our holder slot; -1: none yet */
};

static struct arena *arenas; /* all that are mapped here */
static struct arena *current; /* ours, for new sessions */
static struct lock list_lock;
static unsigned int fail_buffer;

static size_t round_up(size_t n)
{
	return (n + 4095) & ~(size_t)4095;
}

static size_t head_size(void)
{
	return round_up(sizeof(struct arena_head));
}

static size_t arena_size(uint32_t sessions)
{
	return head_size() + round_up(sessions * sizeof(struct session_slot)) +
	       (size_t)sessions * ARENA_BUFFER_SIZE;
}

static struct arena *arena_map(uint32_t sessions)
{
	size_t size = arena_size(sessions);
	struct arena *a = mmap(NULL, round_up(sizeof(*a)), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *base;

	if (a == MAP_FAILED)
		return NULL;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (base == MAP_FAILED) {
		munmap(a, round_up(sizeof(*a)));
		return NULL;
	}
	madvise(base, size, MADV_DONTDUMP);
	a->head = (struct arena_head *)base;
	a->size = size;
	a->slots = (struct session_slot *)(base + head_size());
	a->buffers = base + head_size() + round_up(sessions * sizeof(struct session_slot));
	a->self = -1;
	a->head->sessions = a->head->buffers = sessions;
	return a;
}

static void arena_unmap(struct arena *a)
{
	munmap(a->head, a->size);
	munmap(a, round_up(sizeof(*a)));
}

struct arena *arena_current(void)
{
	struct lock_guard g;
	struct arena *a;

	lock_enter(&list_lock, &g);
	a = current;
	/* Address space may be limited (RLIMIT_AS, strict overcommit): settle for less. */
	for (uint32_t n = ARENA_SESSIONS_MAX; !a && n >= ARENA_SESSIONS_MIN; n /= 2)
		a = arena_map(n);
	if (a && !current) {
		a->next = arenas;
		arenas = current = a;
	}
	lock_leave(&list_lock, &g);
	return a;
}

static void lock_lists(struct arena *a);

static struct session_slot *slot_of(struct session *s)
{
	return (struct session_slot *)((uint8_t *)s - offsetof(struct session_slot, session));
}

struct session *arena_session_new(struct arena *a)
{
	struct arena_head *h = a->head;
	struct session_slot *slot = NULL;
	struct lock_guard g;
	uint32_t generation;

	lock_block_signals(&g);
	lock_lists(a);
	if (h->session_free) {
		slot = &a->slots[h->session_free - 1];
		h->session_free = slot->next_free;
	} else if (h->session_top < h->sessions) {
		slot = &a->slots[h->session_top++];
	}
	if (slot) {
		generation = ++h->generation;
		memset((uint8_t *)&slot->session + SESSION_WIPE_FROM, 0,
		       sizeof(slot->session) - SESSION_WIPE_FROM);
		slot->session.generation = generation;
		slot->session.magic = SESSION_MAGIC;
		slot->used = 1;
	}
	lock_leave(&h->lock, &g);
	return slot ? &slot->session : NULL;
}

void arena_session_free(struct arena *a, struct session *s)
{
	struct arena_head *h = a->head;
	struct session_slot *slot = slot_of(s);
	struct lock_guard g;

	lock_block_signals(&g);
	lock_lists(a);
	explicit_bzero((uint8_t *)s + SESSION_WIPE_FROM, sizeof(*s) - SESSION_WIPE_FROM);
	slot->used = 0;
	slot->next_free = h->session_free;
	h->session_free = slot - a->slots + 1;
	lock_leave(&h->lock, &g);
}

struct session *arena_session_next(struct arena *a, uint32_t *index)
{
	while (*index < a->head->session_top) {
		struct session_slot *slot = &a->slots[(*index)++];

		if (slot->used)
			return &slot->session;
	}
	return NULL;
}

void arena_fail_buffer(unsigned int n)
{
	fail_buffer = n;
}

uint8_t *arena_buffer(struct arena *a, uint32_t buffer)
{
	return a->buffers + (size_t)(buffer - 1) * ARENA_BUFFER_SIZE;
}

bool arena_has_buffer(const struct arena *a, uint32_t buffer)
{
	return buffer <= a->head->buffers;
}

/* A free buffer's first bytes link to the next one. */
static void push_buffer(struct arena *a, uint32_t buffer)
{
	memcpy(arena_buffer(a, buffer), &a->head->buffer_free, sizeof(buffer));
	a->head->buffer_free = buffer;
}

/* Somebody was killed under the lock: what no session has is free. */
static void repair_buffers(struct arena *a)
{
	static uint64_t taken[ARENA_SESSIONS_MAX / 64 + 1]; /* under the lock, and a fork's copy */
	uint32_t i = 0;
	struct session *s;

	memset(taken, 0, sizeof(taken));
	while ((s = arena_session_next(a, &i))) {
		const uint32_t has[] = { s->tx.open_buffer, s->tx.rest_buffer, s->tx.spare_buffer,
					 s->rx.buffer };

		for (int n = 0; n < 4; n++)
			if (has[n] && arena_has_buffer(a, has[n]))
				taken[has[n] / 64] |= 1ull << (has[n] % 64);
	}
	a->head->buffer_free = 0;
	for (uint32_t b = a->head->buffer_top; b; b--)
		if (!(taken[b / 64] >> (b % 64) & 1))
			push_buffer(a, b);
}

static void lock_lists(struct arena *a)
{
	if (lock_take(&a->head->lock) == -EOWNERDEAD)
		repair_buffers(a);
}

bool arena_buffer_take(struct arena *a, uint32_t *where)
{
	struct arena_head *h = a->head;
	uint32_t b = 0;

	if (fail_buffer && !--fail_buffer)
		return false;
	lock_lists(a);
	if (h->buffer_free) {
		b = h->buffer_free;
		memcpy(&h->buffer_free, arena_buffer(a, b), sizeof(h->buffer_free));
	} else if (h->buffer_top < h->buffers) {
		b = ++h->buffer_top;
	}
	__atomic_store_n(where, b, __ATOMIC_RELAXED);
	lock_drop(&h->lock);
	return b != 0;
}

void arena_buffer_give(struct arena *a, uint32_t *where, size_t secret)
{
	uint32_t b = *where;

	if (!b)
		return;
	explicit_bzero(arena_buffer(a, b), secret);
	lock_lists(a);
	push_buffer(a, b);
	__atomic_store_n(where, 0, __ATOMIC_RELAXED);
	lock_drop(&a->head->lock);
}

uint32_t arena_buffer_new(struct arena *a)
{
	uint32_t b = 0;

	arena_buffer_take(a, &b);
	return b;
}

void arena_buffer_free(struct arena *a, uint32_t buffer, size_t secret)
{
	arena_buffer_give(a, &buffer, secret);
}

static int holder_new(struct arena *a, pid_t pid, uint64_t start)
{
	int found = -1;

	lock_lists(a);
	for (int i = 0; i < ARENA_PROCS && found < 0; i++) {
		struct holder *h = &a->head->holders[i];

		if (!h->used) {
			*h = (struct holder){ 1, pid, start };
			found = i;
		}
	}
	lock_drop(&a->head->lock);
	return found;
}

int arena_self(struct arena *a)
{
	int self = __atomic_load_n(&a->self, __ATOMIC_ACQUIRE);
	struct lock_guard g;

	if (__builtin_expect(self >= 0, 1))
		return self;
	lock_enter(&list_lock, &g); /* one slot, however many threads come first */
	self = a->self;
	if (self < 0)
		self = holder_new(a, process_pid(), process_start(process_pid()));
	__atomic_store_n(&a->self, self, __ATOMIC_RELEASE);
	lock_leave(&list_lock, &g);
	return self;
}

static uint64_t now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

int arena_reserve_child(struct arena *a)
{
	return holder_new(a, 0, now_seconds());
}

void arena_become(struct arena *a, int slot)
{
	struct holder *h = &a->head->holders[slot];

	h->start = process_start(process_pid());
	__atomic_store_n(&h->pid, process_pid(), __ATOMIC_RELEASE);
	a->self = slot;
}

bool arena_holder_dead(struct arena *a, int slot)
{
	struct holder *h = &a->head->holders[slot];
	int32_t pid = __atomic_load_n(&h->pid, __ATOMIC_ACQUIRE);

	if (!h->used)
		return false;
	/* The fork may have failed: its child would have come by now. */
	if (!pid)
		return now_seconds() - h->start > RESERVED_SECONDS;
	return !process_alive(pid, h->start);
}

void arena_release_holder(struct arena *a, int slot)
{
	lock_lists(a);
	memset(&a->head->holders[slot], 0, sizeof(struct holder));
	lock_drop(&a->head->lock);
}

void arena_ref(struct arena *a)
{
	__atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
}

void arena_unref(struct arena *a)
{
	struct arena **p;

	if (__atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) || a == current)
		return;
	lock_take(&list_lock);
	for (p = &arenas; *p && *p != a; p = &(*p)->next)
		;
	if (*p)
		*p = a->next;
	lock_drop(&list_lock);
	arena_unmap(a);
}

void arena_after_fork(void)
{
	list_lock = (struct lock){ 0 };
	current = NULL;
	for (struct arena *a = arenas; a; a = a->next)
		a->self = -1;
}

void arena_unmap_unused(void)
{
	struct arena **p = &arenas;

	while (*p) {
		struct arena *a = *p;

		if (a->refs || a == current) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		arena_unmap(a);
	}
}

void arena_each(void (*visit)(struct arena *a))
{
	for (struct arena *a = arenas; a; a = a->next)
		if (a->refs)
			visit(a);
}
