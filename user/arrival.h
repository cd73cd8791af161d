/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sessions that come from another program with their sockets: parcels among the
 * descriptors that exec left open, or that a message brought.
 */
#ifndef TLSULP_ARRIVAL_H
#define TLSULP_ARRIVAL_H

#include <stddef.h>

/* From the constructor: what the program before this one, or its parent, sent along. */
void arrival_init(void);

/*
 * @n descriptors of one message, sockets first. The parcels among them are taken
 * out, the sockets get their sessions. Returns how many descriptors are left.
 */
size_t arrival_sort(int *fds, size_t n);

#endif
