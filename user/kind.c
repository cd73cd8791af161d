// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/kind.h"

#include "user/fdtab.h"
#include "user/process.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define LOOKING 0xff /* somebody asks the kernel */

static uint8_t kinds[FDTAB_SIZE];
static int kinds_end; /* one more than the largest number that was ever looked at */

static void reach(int fd)
{
	int end = __atomic_load_n(&kinds_end, __ATOMIC_RELAXED);

	while (fd >= end && !__atomic_compare_exchange_n(&kinds_end, &end, fd + 1, true,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

static enum kind ask(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return KIND_UNKNOWN;
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return KIND_FILE;
	return S_ISFIFO(st.st_mode) ? KIND_PIPE : KIND_OTHER;
}

/* Known from now on, unless the number is closed meanwhile. A vfork child has its own numbers. */
static enum kind look(int fd)
{
	uint8_t looking = LOOKING;
	enum kind kind;

	if ((unsigned int)fd >= FDTAB_SIZE || process_is_vfork_child())
		return ask(fd);
	reach(fd);
	__atomic_store_n(&kinds[fd], LOOKING, __ATOMIC_SEQ_CST);
	kind = ask(fd);
	__atomic_compare_exchange_n(&kinds[fd], &looking, kind, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_RELAXED);
	return kind;
}

int kind_check(int fd, enum kind kind)
{
	enum kind now;

	if ((unsigned int)fd < FDTAB_SIZE && __atomic_load_n(&kinds[fd], __ATOMIC_RELAXED) == kind)
		return 0;
	now = look(fd);
	return now == kind ? 0 : now == KIND_UNKNOWN ? -EBADF : -EINVAL;
}

void kind_forget(int fd)
{
	if ((unsigned int)fd < (unsigned int)__atomic_load_n(&kinds_end, __ATOMIC_SEQ_CST))
		__atomic_store_n(&kinds[fd], KIND_UNKNOWN, __ATOMIC_SEQ_CST);
}

void kind_forget_range(unsigned int first, unsigned int last)
{
	unsigned int end = __atomic_load_n(&kinds_end, __ATOMIC_SEQ_CST);

	if (last < end)
		end = last + 1;
	if (first < end)
		memset(kinds + first, KIND_UNKNOWN, end - first);
}
