/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Descriptor number -> connection: the one look-up that every wrapped call
 * does, one load and one branch. Descriptors from FDTAB_SIZE on cannot have
 * the ULP.
 */
#ifndef TLSULP_FDTAB_H
#define TLSULP_FDTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDTAB_SIZE (1 << 20)

struct conn;

extern struct conn *fdtab[FDTAB_SIZE];

/*
 * Stands for a number that is being closed or replaced: calls on it wait until
 * that is done, for as long as the kernel has a TLS socket on a number the table
 * must not give it to libc.
 */
#define FDTAB_MOVING ((struct conn *)1)

/* Or'ed to a pointer: no connection, but a tube (tube.h). */
#define FDTAB_TUBE 2

static inline bool fdtab_is_tube(const struct conn *entry)
{
	return (uintptr_t)entry & FDTAB_TUBE;
}

/* What stands there: NULL, and the number is libc's, or something that calls have to look at. */
static inline struct conn *fdtab_any(int fd)
{
	if (__builtin_expect((unsigned int)fd >= FDTAB_SIZE, 0))
		return NULL;
	return __atomic_load_n(&fdtab[fd], __ATOMIC_RELAXED);
}

/* The connection, or NULL. */
static inline struct conn *fdtab_get(int fd)
{
	struct conn *entry = fdtab_any(fd);

	return __builtin_expect(fdtab_is_tube(entry), 0) ? NULL : entry;
}

#endif
