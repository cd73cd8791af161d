/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every unit test includes first: cmocka with the headers that it needs. */
#ifndef TLSULP_TESTS_UNIT_H
#define TLSULP_TESTS_UNIT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The thread sanitizer calls handlers at the next blocking libc call only. */
#ifdef __SANITIZE_THREAD__
#define skip_if_signals_are_late() skip()
/* It dies where a child of a process with threads starts one. */
#define skip_if_children_have_no_threads() skip()
#else
#define skip_if_signals_are_late() ((void)0)
#define skip_if_children_have_no_threads() ((void)0)
#endif

/* Lower-case hexadecimal digits of @text into @out; returns the bytes. */
static inline size_t unhex(const char *text, uint8_t *out)
{
	size_t n = 0;

	for (; text[0] && text[1]; text += 2)
		sscanf(text, "%2hhx", &out[n++]);
	return n;
}

/* @n bytes that differ from place to place and from @seed to @seed. */
static inline void fill_pattern(uint8_t *p, size_t n, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = x >> 24;
	}
}

/* -1, with this errno */
#define assert_fails(call, err)                                                                    \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal(call, -1);                                                        \
		assert_int_equal(errno, err);                                                      \
	} while (0)

#endif
