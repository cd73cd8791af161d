// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/kind.h"

#include "user/fdtab.h"
#include "user/process.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define LOOKING 0xff /* somebody asks the kernel */
#define IN_MEMORY 0x10 /* or'ed to KIND_FILE */
#define KIND(look) ((look)&0x0f)

static uint8_t kinds[FDTAB_SIZE];
static int kinds_end; /* one more than the largest number that was ever looked at */

static void reach(int fd)
{
	int end = __atomic_load_n(&kinds_end, __ATOMIC_RELAXED);

	while (fd >= end && !__atomic_compare_exchange_n(&kinds_end, &end, fd + 1, true,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

static bool is_in_memory(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static uint8_t ask(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return KIND_UNKNOWN;
	if (S_ISREG(st.st_mode))
		return is_in_memory(fd) ? KIND_FILE | IN_MEMORY : KIND_FILE;
	if (S_ISBLK(st.st_mode))
		return KIND_FILE;
	return S_ISFIFO(st.st_mode) ? KIND_PIPE : KIND_OTHER;
}

/* Known from now on, unless the number is closed meanwhile. A vfork child has its own numbers. */
static uint8_t look(int fd)
{
	uint8_t looking = LOOKING, kind;

	if ((unsigned int)fd >= FDTAB_SIZE || process_is_vfork_child())
		return ask(fd);
	reach(fd);
	__atomic_store_n(&kinds[fd], LOOKING, __ATOMIC_SEQ_CST);
	kind = ask(fd);
	__atomic_compare_exchange_n(&kinds[fd], &looking, kind, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_RELAXED);
	return kind;
}

/* What is known of it, or 0. */
static uint8_t known(int fd)
{
	return (unsigned int)fd < FDTAB_SIZE ? __atomic_load_n(&kinds[fd], __ATOMIC_RELAXED) : 0;
}

int kind_check(int fd, enum kind kind)
{
	enum kind now;

	if (KIND(known(fd)) == kind)
		return 0;
	now = KIND(look(fd));
	return now == kind ? 0 : now == KIND_UNKNOWN ? -EBADF : -EINVAL;
}

bool kind_is_in_memory(int fd)
{
	return known(fd) == (KIND_FILE | IN_MEMORY);
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
