// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* user/arena.h: slots, generations, holders, wiped memory, and what a fork may see. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/arena.h"
#include "user/conn.h"
#include "user/process.h"
#include "user/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_zero(const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

static int child_says(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_there_is_one_arena_for_new_sessions(void **state)
{
	struct arena *a = arena_current();

	assert_non_null(a);
	assert_ptr_equal(arena_current(), a);
}

static void test_a_new_session_is_empty(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a);

	assert_int_equal(s->magic, SESSION_MAGIC);
	assert_true(s->generation > 0);
	assert_true(is_zero(&s->cookie, sizeof(*s) - offsetof(struct session, cookie)));
	arena_session_free(a, s);
}

static void test_a_slot_comes_again_as_another_session(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a), *again;
	uint32_t generation = s->generation;

	arena_session_free(a, s);
	again = arena_session_new(a);
	assert_ptr_equal(again, s);
	assert_int_not_equal(again->generation, generation);
	arena_session_free(a, again);
}

static void test_a_freed_session_is_wiped_but_for_its_locks(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a);

	memset(&s->tx, 0xa5, sizeof(s->tx));
	memset(&s->rx, 0xa5, sizeof(s->rx));
	s->tx_lock.word = 77;
	arena_session_free(a, s);
	assert_true(is_zero((uint8_t *)s + SESSION_WIPE_FROM, sizeof(*s) - SESSION_WIPE_FROM));
	assert_int_equal(s->tx_lock.word, 77);
	s->tx_lock.word = 0;
}

static void test_sessions_in_use_are_visited(void **state)
{
	struct arena *a = arena_current();
	struct session *s[3], *seen;
	uint32_t index = 0;
	int found = 0;

	for (int i = 0; i < 3; i++)
		s[i] = arena_session_new(a);
	arena_session_free(a, s[1]);
	while ((seen = arena_session_next(a, &index))) {
		assert_ptr_not_equal(seen, s[1]);
		found += seen == s[0] || seen == s[2];
	}
	assert_int_equal(found, 2);
	arena_session_free(a, s[0]);
	arena_session_free(a, s[2]);
}

static void test_a_full_arena_says_so_and_recovers(void **state)
{
	struct arena *a = arena_current();
	struct session **all = calloc(40000, sizeof(*all));
	int n = 0;

	while (n < 40000 && (all[n] = arena_session_new(a)))
		n++;
	assert_true(n >= 512 && n < 40000);
	assert_null(arena_session_new(a));
	arena_session_free(a, all[n - 1]);
	assert_non_null(arena_session_new(a));
	while (n--)
		arena_session_free(a, all[n]);
	free(all);
}

static void test_buffers_hold_a_record_and_do_not_overlap(void **state)
{
	struct arena *a = arena_current();
	uint32_t x = arena_buffer_new(a), y = arena_buffer_new(a);

	assert_true(x && y && x != y);
	memset(arena_buffer(a, x), 1, ARENA_BUFFER_SIZE);
	memset(arena_buffer(a, y), 2, ARENA_BUFFER_SIZE);
	assert_int_equal(arena_buffer(a, x)[ARENA_BUFFER_SIZE - 1], 1);
	assert_int_equal(arena_buffer(a, y)[0], 2);
	arena_buffer_free(a, x, ARENA_BUFFER_SIZE);
	arena_buffer_free(a, y, ARENA_BUFFER_SIZE);
	arena_buffer_free(a, 0, 100);
}

/* The first four bytes of a free buffer link to the next one. */
static void test_a_freed_buffer_is_wiped(void **state)
{
	struct arena *a = arena_current();
	uint32_t x = arena_buffer_new(a);
	uint8_t *p = arena_buffer(a, x);

	memset(p, 0xa5, ARENA_BUFFER_SIZE);
	arena_buffer_free(a, x, ARENA_BUFFER_SIZE);
	assert_true(is_zero(p + 4, ARENA_BUFFER_SIZE - 4));
	assert_int_equal(arena_buffer_new(a), x);
	arena_buffer_free(a, x, 0);
}

static void test_the_nth_buffer_fails_when_asked_to(void **state)
{
	struct arena *a = arena_current();
	uint32_t x, y;

	arena_fail_buffer(2);
	x = arena_buffer_new(a);
	assert_int_not_equal(x, 0);
	assert_int_equal(arena_buffer_new(a), 0);
	y = arena_buffer_new(a);
	assert_int_not_equal(y, 0);
	arena_buffer_free(a, x, 0);
	arena_buffer_free(a, y, 0);
	arena_fail_buffer(1);
	arena_fail_buffer(0);
	x = arena_buffer_new(a);
	assert_int_not_equal(x, 0);
	arena_buffer_free(a, x, 0);
}

static void test_this_process_holds_one_slot(void **state)
{
	struct arena *a = arena_current();
	int self = arena_self(a);

	assert_true(self >= 0 && self < ARENA_PROCS);
	assert_int_equal(arena_self(a), self);
	assert_false(arena_holder_dead(a, self));
}

static void test_a_reserved_slot_lives_with_its_parent(void **state)
{
	struct arena *a = arena_current();
	int slot = arena_reserve_child(a);

	assert_true(slot >= 0 && slot != arena_self(a));
	assert_false(arena_holder_dead(a, slot));
	arena_release_holder(a, slot);
	assert_int_equal(arena_reserve_child(a), slot);
	arena_release_holder(a, slot);
}

/* While the child makes itself known, its parent never takes it for dead. */
static void test_a_child_that_becomes_is_never_dead(void **state)
{
	struct arena *a = arena_current();

	arena_ref(a); /* or the child unmaps it */
	for (int round = 0; round < 500; round++) {
		int slot = arena_reserve_child(a), go[2], status;
		char byte;
		pid_t pid;

		assert_int_equal(pipe(go), 0);
		pid = fork();
		if (!pid) {
			arena_become(a);
			close(go[1]);
			_exit(read(go[0], &byte, 1) != 0);
		}
		for (int look = 0; look < 2000; look++)
			assert_false(arena_holder_dead(a, slot));
		close(go[0]);
		close(go[1]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		arena_release_holder(a, slot);
	}
	arena_unref(a);
}

static void test_a_gone_child_is_a_dead_holder(void **state)
{
	struct arena *a = arena_current();
	int slot = arena_reserve_child(a), go[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(go), 0);
	arena_ref(a); /* or the child unmaps it */
	child = fork();
	if (!child) {
		arena_become(a);
		_exit(read(go[0], &byte, 1) != 1);
	}
	usleep(50000);
	assert_false(arena_holder_dead(a, slot));
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(child_says(child), 0);
	assert_true(arena_holder_dead(a, slot));
	arena_release_holder(a, slot);
	arena_unref(a);
	close(go[0]);
	close(go[1]);
}

static void test_slots_run_out_and_come_back(void **state)
{
	struct arena *a = arena_current();
	int slots[ARENA_PROCS], n = 0, self = arena_self(a);

	while (n < ARENA_PROCS && (slots[n] = arena_reserve_child(a)) >= 0)
		assert_int_not_equal(slots[n++], self);
	assert_true(n >= ARENA_PROCS - 8 && n < ARENA_PROCS);
	while (n--)
		arena_release_holder(a, slots[n]);
}

/* Where a mapping is, and with what flags, as /proc/self/smaps says. */
static bool smaps_has_flag(const void *p, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	bool here = false, found = false;
	char line[512];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (unsigned long)p && (unsigned long)p < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, flag) != NULL;
	}
	fclose(f);
	return found;
}

static bool is_mapped(const void *p)
{
	unsigned char vec;

	return mincore((void *)((uintptr_t)p & ~4095ul), 1, &vec) == 0;
}

static void test_keys_are_not_in_core_dumps(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a);

	assert_true(smaps_has_flag(s, " dd"));
	arena_session_free(a, s);
}

/* What a worker puts into its arena, its parent and its sibling never map. */
static int child_is_apart(struct arena *parents, struct session *inherited)
{
	struct arena *own = arena_current();
	struct session *s = own ? arena_session_new(own) : NULL;

	if (!s || own == parents)
		return 1;
	if ((uint8_t *)s == (uint8_t *)inherited)
		return 2;
	s->cookie = 4711;
	return 0;
}

static void test_a_forked_child_has_an_arena_of_its_own(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a);
	uint64_t before[16];
	pid_t child;

	memcpy(before, s, sizeof(before));
	arena_ref(a); /* a conn would */
	child = fork();
	if (!child)
		_exit(child_is_apart(a, s));
	assert_int_equal(child_says(child), 0);
	assert_memory_equal(before, s, sizeof(before));
	arena_unref(a);
	arena_session_free(a, s);
}

static void test_a_child_sees_inherited_sessions(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a);
	pid_t child;

	arena_ref(a);
	child = fork();
	if (!child) {
		s->cookie = 4711;
		_exit(0);
	}
	assert_int_equal(child_says(child), 0);
	assert_int_equal(s->cookie, 4711);
	arena_unref(a);
	arena_session_free(a, s);
}

static void test_a_child_without_inherited_sessions_maps_no_keys(void **state)
{
	struct arena *a = arena_current();
	struct session *s = arena_session_new(a);
	pid_t child;
	int fd[2];

	home_connect(fd);
	s->cookie = 4711; /* another mapping may come to lie there */
	child = fork();
	if (!child) {
		home_attach(fd[0]); /* the child's first conn: now it is in order */
		_exit(is_mapped(s) && s->cookie == 4711);
	}
	assert_int_equal(child_says(child), 0);
	arena_session_free(a, s);
	home_close(fd);
}

/* No atfork handler ran for it: the attaching itself must see that this is another process. */
static void test_a_raw_clone_child_attaches_in_an_arena_of_its_own(void **state)
{
	struct arena *a = arena_current();
	int fd[2], kept[2];
	pid_t child;

	home_tx_pair(kept, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, false);
	home_connect(fd);
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!child) {
		struct conn *c;

		if (tlsulp_setsockopt(fd[0], IPPROTO_TCP, TCP_ULP, "tls", 4))
			_exit(1);
		c = conn_pin(fd[0]);
		_exit(c->arena == a ? 2 : 0);
	}
	assert_int_equal(child_says(child), 0);
	home_close(fd);
	home_close(kept);
}

static void test_a_raw_clone_child_without_sessions_can_attach(void **state)
{
	pid_t child;
	int fd[2];

	arena_current();
	home_connect(fd);
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!child)
		_exit(tlsulp_setsockopt(fd[0], IPPROTO_TCP, TCP_ULP, "tls", 4) != 0);
	assert_int_equal(child_says(child), 0);
	home_close(fd);
}

static int setup(void **state)
{
	home_start();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_is_one_arena_for_new_sessions),
		cmocka_unit_test(test_a_new_session_is_empty),
		cmocka_unit_test(test_a_slot_comes_again_as_another_session),
		cmocka_unit_test(test_a_freed_session_is_wiped_but_for_its_locks),
		cmocka_unit_test(test_sessions_in_use_are_visited),
		cmocka_unit_test(test_a_full_arena_says_so_and_recovers),
		cmocka_unit_test(test_buffers_hold_a_record_and_do_not_overlap),
		cmocka_unit_test(test_a_freed_buffer_is_wiped),
		cmocka_unit_test(test_the_nth_buffer_fails_when_asked_to),
		cmocka_unit_test(test_this_process_holds_one_slot),
		cmocka_unit_test(test_a_reserved_slot_lives_with_its_parent),
		cmocka_unit_test(test_a_child_that_becomes_is_never_dead),
		cmocka_unit_test(test_a_gone_child_is_a_dead_holder),
		cmocka_unit_test(test_slots_run_out_and_come_back),
		cmocka_unit_test(test_keys_are_not_in_core_dumps),
		cmocka_unit_test(test_a_forked_child_has_an_arena_of_its_own),
		cmocka_unit_test(test_a_child_sees_inherited_sessions),
		cmocka_unit_test(test_a_child_without_inherited_sessions_maps_no_keys),
		cmocka_unit_test(test_a_raw_clone_child_attaches_in_an_arena_of_its_own),
		cmocka_unit_test(test_a_raw_clone_child_without_sessions_can_attach),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
