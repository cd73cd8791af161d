// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/arena.h"

#include "user/parcel.h"
#include "user/process.h"
#include "user/real.h"
#include "user/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define ARENA_SESSIONS_MAX 32768u
#define ARENA_SESSIONS_MIN 512u
#define RESERVED_SECONDS 60
#define PARCEL_BUFFERS ARENA_SESSION_BUFFERS
#define LAYOUT ((uint32_t)sizeof(struct session_slot) << 8 | 3)

/* A process that shares the arena. */
struct holder {
	uint32_t used;
	int32_t pid; /* 0: reserved for a child that is being forked; else see below */
	uint64_t start; /* its start time; 0: unknown */
	uint64_t since; /* seconds when it was reserved: @start is written before @pid says so */
};

#define HOLDER_ON_ITS_WAY (-1) /* a program that will get the session with the socket */

/*
 * The head of the mapping; all offsets are indices, so it may be mapped anywhere.
 * Every change of a list is one store, after those it needs: a process killed
 * under the lock loses one slot at most, and no buffer: repair_buffers().
 */
struct arena_head {
	struct parcel_head parcel; /* tells other programs whether they know what is in here */
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
	int child; /* the slot of the child that is being forked; -1: none was free */
	int parcel; /* 0: it is anonymous memory */
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

static size_t arena_size(uint32_t sessions, uint32_t buffers)
{
	return head_size() + round_up(sessions * sizeof(struct session_slot)) +
	       (size_t)buffers * ARENA_BUFFER_SIZE;
}

/* @parcel 0: anonymous. The head of a parcel from elsewhere is there already. */
static struct arena *arena_map(uint32_t sessions, uint32_t buffers, int parcel)
{
	size_t size = arena_size(sessions, buffers);
	struct arena *a = mmap(NULL, round_up(sizeof(*a)), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int flags = parcel ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
	uint8_t *base;

	if (a == MAP_FAILED)
		return NULL;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, parcel ? parcel_fd(parcel) : -1, 0);
	if (base == MAP_FAILED) {
		munmap(a, round_up(sizeof(*a)));
		return NULL;
	}
	madvise(base, size, MADV_DONTDUMP);
	a->head = (struct arena_head *)base;
	a->size = size;
	a->slots = (struct session_slot *)(base + head_size());
	a->buffers = base + head_size() + round_up(sessions * sizeof(struct session_slot));
	a->self = a->child = -1;
	a->parcel = parcel;
	if (!a->head->parcel.magic) {
		a->head->sessions = sessions;
		a->head->buffers = buffers;
		a->head->parcel.layout = LAYOUT;
		a->head->parcel.magic = PARCEL_MAGIC;
	}
	return a;
}

static void arena_unmap(struct arena *a)
{
	if (a->parcel)
		parcel_drop(a->parcel);
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
		a = arena_map(n, n * ARENA_SESSION_BUFFERS, 0);
	if (a && !current) {
		a->next = arenas;
		arenas = current = a;
	}
	lock_leave(&list_lock, &g);
	return a;
}

static void add_to_list(struct arena *a)
{
	struct lock_guard g;

	lock_enter(&list_lock, &g);
	a->next = arenas;
	arenas = a;
	lock_leave(&list_lock, &g);
}

static struct arena *arena_of_parcel(int parcel)
{
	struct arena *a = arena_map(1, PARCEL_BUFFERS, parcel);

	if (a)
		add_to_list(a);
	else
		parcel_drop(parcel);
	return a;
}

struct arena *arena_new_parcel(void)
{
	int parcel = parcel_new(arena_size(1, PARCEL_BUFFERS));

	return parcel > 0 ? arena_of_parcel(parcel) : NULL;
}

/* What another program wrote there is looked at before it is believed. */
static bool head_is_sane(const struct arena_head *h)
{
	return h->parcel.layout == LAYOUT && h->sessions == 1 && h->buffers == PARCEL_BUFFERS &&
	       h->session_top == 1 && h->session_free <= 1 && h->buffer_top <= PARCEL_BUFFERS &&
	       h->buffer_free <= PARCEL_BUFFERS;
}

static int mend_buffers(struct arena *a);

int arena_open_parcel(int fd, struct arena **got)
{
	uint64_t id = parcel_id_of(fd);
	struct arena *a;
	int parcel, err;

	*got = NULL;
	for (a = arenas; a; a = a->next)
		if (a->parcel && parcel_id(a->parcel) == id) {
			sys_call(SYS_close, fd);
			*got = a;
			return 0;
		}
	parcel = parcel_keep(fd);
	if (parcel > 0 && !parcel_has_size(parcel, arena_size(1, PARCEL_BUFFERS))) {
		parcel_drop(parcel);
		return -EBADMSG;
	}
	a = parcel > 0 ? arena_of_parcel(parcel) : NULL;
	if (!a)
		return -ENOMEM;
	err = head_is_sane(a->head) && a->slots[0].used ? mend_buffers(a) : -EBADMSG;
	if (!err) {
		*got = a;
		return 0;
	}
	arena_ref(a);
	arena_unref(a);
	return err;
}

void arena_address(struct arena *a, uint64_t cookie)
{
	a->head->parcel.cookie = cookie;
}

int arena_parcel(const struct arena *a)
{
	return a->parcel;
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
	static uint64_t taken[ARENA_SESSIONS_MAX * ARENA_SESSION_BUFFERS / 64 +
			      1]; /* under the lock, and a fork's copy */
	uint32_t i = 0;
	struct session *s;

	memset(taken, 0, sizeof(taken));
	while ((s = arena_session_next(a, &i))) {
		const uint32_t has[] = { s->tx.open_buffer, s->tx.rest_buffer, s->rx.buffer };

		for (int n = 0; n < ARENA_SESSION_BUFFERS; n++)
			if (has[n] && arena_has_buffer(a, has[n]))
				taken[has[n] / 64] |= 1ull << (has[n] % 64);
	}
	a->head->buffer_free = 0;
	for (uint32_t b = a->head->buffer_top; b; b--)
		if (!(taken[b / 64] >> (b % 64) & 1))
			push_buffer(a, b);
}

/* The links between free buffers are nobody's to look at: they are made anew. 0 or -EBUSY. */
static int mend_buffers(struct arena *a)
{
	const struct lock_owners owners = { .patience_ms = ARENA_PATIENCE_MS };
	struct lock_guard g;

	lock_block_signals(&g);
	if (lock_take_from(&a->head->lock, &owners) == -ETIMEDOUT) {
		lock_restore_signals(&g);
		return -EBUSY;
	}
	repair_buffers(a);
	lock_leave(&a->head->lock, &g);
	return 0;
}

static void lock_lists(struct arena *a)
{
	if (lock_take(&a->head->lock) == -EOWNERDEAD)
		repair_buffers(a);
}

void arena_buffer_take_own(struct arena *a, uint32_t *where)
{
	struct arena_head *h = a->head;
	uint32_t b = 0;

	lock_lists(a);
	if (h->buffer_free) {
		b = h->buffer_free;
		memcpy(&h->buffer_free, arena_buffer(a, b), sizeof(h->buffer_free));
	} else if (h->buffer_top < h->buffers) {
		b = ++h->buffer_top;
	}
	__atomic_store_n(where, b, __ATOMIC_RELAXED);
	lock_drop(&h->lock);
}

bool arena_buffer_take(struct arena *a, uint32_t *where)
{
	if (fail_buffer && !--fail_buffer)
		return false;
	arena_buffer_take_own(a, where);
	return *where != 0;
}

void arena_buffer_give(struct arena *a, uint32_t *where, size_t secret)
{
	uint32_t b = *where;

	if (!b || !arena_has_buffer(a, b))
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

static int holder_new(struct arena *a, pid_t pid, uint64_t start, uint64_t since)
{
	int found = -1;

	lock_lists(a);
	for (int i = 0; i < ARENA_PROCS && found < 0; i++) {
		struct holder *h = &a->head->holders[i];

		if (!h->used) {
			*h = (struct holder){ 1, pid, start, since };
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
		self = holder_new(a, process_pid(), process_start(process_pid()), 0);
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
	a->child = holder_new(a, 0, 0, now_seconds());
	return a->child;
}

int arena_child(const struct arena *a)
{
	return a->child;
}

int arena_reserve_way(struct arena *a)
{
	return holder_new(a, HOLDER_ON_ITS_WAY, 0, 0);
}

/* The first holder with @pid that started at @start becomes this process. */
static int take_over(struct arena *a, int32_t pid, uint64_t start)
{
	for (int i = 0; i < ARENA_PROCS; i++) {
		struct holder *h = &a->head->holders[i];

		if (h->used && h->pid == pid && h->start == start)
			return i;
	}
	return -1;
}

int arena_arrive(struct arena *a)
{
	uint64_t start = process_start(process_pid());
	int slot;

	if (a->self >= 0)
		return a->self;
	lock_lists(a);
	slot = take_over(a, process_pid(), start);
	if (slot < 0)
		slot = take_over(a, HOLDER_ON_ITS_WAY, 0);
	if (slot >= 0)
		a->head->holders[slot] = (struct holder){ 1, process_pid(), start, 0 };
	lock_drop(&a->head->lock);
	a->self = slot;
	return arena_self(a);
}

bool arena_is_held(const struct arena *a)
{
	return a->self >= 0;
}

int arena_arrived(struct arena *a)
{
	int slot;

	lock_lists(a);
	slot = take_over(a, HOLDER_ON_ITS_WAY, 0);
	lock_drop(&a->head->lock);
	return slot;
}

void arena_become(struct arena *a)
{
	struct holder *h = &a->head->holders[a->child];

	h->start = process_start(process_pid());
	__atomic_store_n(&h->pid, process_pid(), __ATOMIC_RELEASE);
	a->self = a->child;
}

bool arena_holder_on_way(const struct arena *a, int slot)
{
	return __atomic_load_n(&a->head->holders[slot].pid, __ATOMIC_ACQUIRE) == HOLDER_ON_ITS_WAY;
}

bool arena_holder_dead(struct arena *a, int slot)
{
	struct holder *h = &a->head->holders[slot];
	int32_t pid = __atomic_load_n(&h->pid, __ATOMIC_ACQUIRE);

	if (!h->used)
		return false;
	if (pid == HOLDER_ON_ITS_WAY)
		return false;
	/* The fork may have failed: its child would have come by now. */
	if (!pid)
		return now_seconds() - h->since > RESERVED_SECONDS;
	return !process_alive(pid, h->start);
}

bool arena_may_own(struct arena *a, pid_t tid)
{
	for (int slot = 0; slot < ARENA_PROCS; slot++) {
		const struct holder *h = &a->head->holders[slot];
		int32_t pid = __atomic_load_n(&h->pid, __ATOMIC_ACQUIRE);

		if (h->used && pid > 0 && process_has_thread(pid, tid) &&
		    !arena_holder_dead(a, slot))
			return true;
	}
	return process_has_thread(process_pid(), tid);
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
