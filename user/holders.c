// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/holders.h"

#include "user/stats.h"

void holders_add(struct session *s, int slot)
{
	__atomic_or_fetch(&s->holders[slot / 64], 1ull << (slot % 64), __ATOMIC_SEQ_CST);
}

void holders_remove(struct session *s, int slot)
{
	__atomic_and_fetch(&s->holders[slot / 64], ~(1ull << (slot % 64)), __ATOMIC_SEQ_CST);
}

static bool has(const struct session *s, int slot)
{
	return __atomic_load_n(&s->holders[slot / 64], __ATOMIC_RELAXED) >> (slot % 64) & 1;
}

static bool are_none(const struct session *s)
{
	uint64_t left = 0;

	for (int i = 0; i < ARENA_HOLDER_WORDS; i++)
		left |= __atomic_load_n(&s->holders[i], __ATOMIC_SEQ_CST);
	return !left;
}

void holders_drop(struct arena *a, struct session *s, int slot)
{
	uint32_t magic = SESSION_MAGIC;

	holders_remove(s, slot);
	/* Two last holders that leave at once both see none left: one of them frees. */
	if (!are_none(s) || !__atomic_compare_exchange_n(&s->magic, &magic, 0, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return;
	stats_conn_gone(s);
	session_give_buffers(s, a);
	arena_session_free(a, s);
}

static bool are_others(struct arena *a, struct session *s, bool coming)
{
	int self = arena_self(a);
	bool others = false;

	for (int slot = 0; slot < ARENA_PROCS; slot++) {
		if (slot == self || !has(s, slot))
			continue;
		if (arena_holder_dead(a, slot))
			holders_remove(s, slot);
		else
			others |= coming || !arena_holder_on_way(a, slot);
	}
	return others;
}

bool holders_are_others(struct arena *a, struct session *s)
{
	return are_others(a, s, true);
}

bool holders_are_others_here(struct arena *a, struct session *s)
{
	return are_others(a, s, false);
}

void holders_sweep(struct arena *a)
{
	for (int slot = 0; slot < ARENA_PROCS; slot++) {
		struct session *s;
		uint32_t i = 0;

		if (!arena_holder_dead(a, slot))
			continue;
		while ((s = arena_session_next(a, &i)))
			if (has(s, slot))
				holders_drop(a, s, slot);
		arena_release_holder(a, slot);
	}
}
