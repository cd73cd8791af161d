// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/asleep.h"

#include "user/include/tlsulp.h"
#include "user/linger.h"
#include "user/real.h"
#include "user/signals.h"

#include <errno.h>

/*
 * libc's, without a declaration. What is pushed is called where its frame ends by
 * a cancellation or by longjmp().
 */
void _pthread_cleanup_push(struct _pthread_cleanup_buffer *b, void (*routine)(void *), void *arg);
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *b, int execute);

/* One less, unless it is none: counts are reset in a fork's child, also under a call. */
static bool count_down(uint32_t *count)
{
	uint32_t n = __atomic_load_n(count, __ATOMIC_RELAXED);

	while (n)
		if (__atomic_compare_exchange_n(count, &n, n - 1, true, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return n == 1;
	return false;
}

/* The session may have moved under the wait, and its copy have been made before this one was
 * counted.
 */
void asleep_woke(struct asleep *s)
{
	if (s->waits && conn_is_usable(s->conn))
		count_down(&conn_session(s->conn)->rx.waiters);
	s->waits = false;
}

static void end(struct asleep *s)
{
	int kept;

	asleep_woke(s);
	if (s->busy)
		*s->busy = false;
	if (!s->conn || !count_down(&s->conn->asleep))
		return;
	kept = __atomic_exchange_n(&s->conn->kept, 0, __ATOMIC_SEQ_CST);
	if (kept)
		tlsulp_close(kept);
}

/* The call is not coming back: what it was to do at its end. */
static void abandoned(void *call)
{
	struct asleep *s = call;
	struct conn *c = s->conn;
	int saved = errno;

	if (conn_session(c)->tx.rest_len)
		linger_note(c, conn_find_fd(c));
	end(s);
	conn_unpin(c);
	errno = saved;
}

void asleep_begin(struct asleep *s, struct conn *c)
{
	if (s->conn)
		return;
	__atomic_add_fetch(&c->asleep, 1, __ATOMIC_SEQ_CST);
	s->conn = c;
	_pthread_cleanup_push(&s->cleanup, abandoned, s);
}

void asleep_begin_rx(struct asleep *s, struct conn *c)
{
	asleep_begin(s, c);
	__atomic_add_fetch(&c->session->rx.waiters, 1, __ATOMIC_RELAXED);
	s->waits = true;
}

int asleep_number(struct conn *c, int fd)
{
	return conn_owns(c, fd) ? fd : conn_find_fd(c);
}

void asleep_end(struct asleep *s)
{
	int saved = errno;
	bool waits = signals_begin();

	if (s->conn)
		_pthread_cleanup_pop(&s->cleanup, 0);
	end(s);
	if (waits)
		signals_end();
	errno = saved;
}

void asleep_after_fork(struct conn *c)
{
	int kept = c->kept;

	c->asleep = 0;
	c->kept = 0;
	if (!kept)
		return;
	conn_forget(kept);
	real.close(kept);
}
