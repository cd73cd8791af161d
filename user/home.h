/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which home serves a session: this library's or the running kernel's own ULP.
 *
 * TLSULP_MODE=user: always ours. kernel: always the kernel's. auto: where the
 * kernel has no ULP, ours; else it is open until the first key, which the kernel
 * gets if it can serve the session whole. Once a key is set a session never
 * changes home. No global state is elsewhere; all calls are thread-safe.
 */
#ifndef TLSULP_HOME_H
#define TLSULP_HOME_H

#include <sys/socket.h>

#include "user/session.h"

/* Read TLSULP_MODE. From the constructor. */
void home_init(void);

/* For a socket that gets the ULP now. The kernel is asked once in a process. */
enum session_home home_at_attach(void);

/*
 * May the kernel's ULP be on a socket that we did not put it on? False where
 * the kernel is known to have none.
 */
bool home_kernel_is_possible(void);

/*
 * The first key of @s, whose home is open; @info of @len bytes is valid, @keys
 * is what it says. Under both locks. 1: the kernel serves the session now, with
 * the key and the options that were set before, and s->home says so. 0: the
 * session is for us. Negative errno: neither, and nothing has changed.
 */
int home_choose(struct session *s, int fd, bool tx, const struct tls_keys *keys, const void *info,
		socklen_t len);

#endif
