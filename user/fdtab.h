/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Descriptor number -> connection: the one look-up that every wrapped call
 * does, one load and one branch. Descriptors from FDTAB_SIZE on cannot have
 * the ULP.
 */
#ifndef TLSULP_FDTAB_H
#define TLSULP_FDTAB_H

#include <stddef.h>

#define FDTAB_SIZE (1 << 20)

struct conn;

extern struct conn *fdtab[FDTAB_SIZE];

/*
 * Stands for a number that is being closed or replaced: calls on it wait until
 * that is done, for as long as the kernel has a TLS socket on a number the table
 * must not give it to libc.
 */
#define FDTAB_MOVING ((struct conn *)1)

static inline struct conn *fdtab_get(int fd)
{
	if (__builtin_expect((unsigned int)fd >= FDTAB_SIZE, 0))
		return NULL;
	return __atomic_load_n(&fdtab[fd], __ATOMIC_RELAXED);
}

#endif
