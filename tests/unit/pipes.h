/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* splice() between a pipe and a TLS socket, by its two directions. */
#ifndef TLSULP_TESTS_PIPES_H
#define TLSULP_TESTS_PIPES_H

#include <stddef.h>
#include <sys/types.h>

#include "user/include/tlsulp.h"

static inline ssize_t into(int pipe, int sock, size_t n, unsigned int flags)
{
	return tlsulp_splice(pipe, NULL, sock, NULL, n, flags);
}

static inline ssize_t out_of(int sock, int pipe, size_t n, unsigned int flags)
{
	return tlsulp_splice(sock, NULL, pipe, NULL, n, flags);
}

#endif
