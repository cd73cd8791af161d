/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * io_uring: a ring moves bytes where no preload sees them, so a process that
 * has one gets ENOENT from TCP_ULP, as on a kernel without the ULP, unless it
 * insists (TLSULP_IO_URING=allow: it promises not to use its rings on TLS sockets).
 */
#ifndef TLSULP_URING_H
#define TLSULP_URING_H

#include <stdbool.h>

/*
 * Does this process have a ring, and no promise was made? Looks at all descriptors the
 * first time. Then at most every 100 ms, and where they are many at a part of them
 * each time: a ring that is made later is found within some looks.
 */
bool uring_is_here(void);
/* The same whatever TLSULP_IO_URING says: of descriptors that are no TLS sockets. */
bool uring_may_read(void);

/* The same: 0, or -ENOENT and a word on stderr. */
int uring_check(void);

/* io_uring_setup was seen: no need to look any more. */
void uring_seen(void);

#endif
