// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/asleep.h"

#include "user/include/tlsulp.h"
#include "user/real.h"

#include <errno.h>

void asleep_begin(struct conn *c, bool *begun)
{
	if (!*begun)
		__atomic_add_fetch(&c->asleep, 1, __ATOMIC_SEQ_CST);
	*begun = true;
}

int asleep_number(struct conn *c, int fd)
{
	return conn_owns(c, fd) ? fd : conn_find_fd(c);
}

void asleep_end(struct conn *c, bool begun)
{
	int saved = errno, kept;

	if (!begun || __atomic_sub_fetch(&c->asleep, 1, __ATOMIC_SEQ_CST))
		return;
	kept = __atomic_exchange_n(&c->kept, 0, __ATOMIC_SEQ_CST);
	if (kept)
		tlsulp_close(kept);
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
