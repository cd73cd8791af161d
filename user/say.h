/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Words to the user on stderr: what happened and what to do. Async-signal-safe
 * enough for where it is called (one write, no allocation); keys never pass here.
 */
#ifndef TLSULP_SAY_H
#define TLSULP_SAY_H

/* "tlsulp[PID]: ...\n" */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* The same, once for each place in a process, told apart by @once (0 at first). */
#define say_once(once, ...)                                                                        \
	do {                                                                                       \
		if (!__atomic_exchange_n(&(once), 1, __ATOMIC_RELAXED))                            \
			say(__VA_ARGS__);                                                          \
	} while (0)

#endif
