/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One end of a pipe, without waiting whatever its O_NONBLOCK says: the program shares it
 * with others, who may be faster, and a lock may be held.
 */
#ifndef TLSULP_PIPE_H
#define TLSULP_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Up to @n bytes out of the pipe: bytes, 0 (empty, and nobody writes to it), or negative errno. */
ssize_t pipe_read(int fd, uint8_t *p, size_t n);

/* Up to @n bytes into the pipe, as a copy: bytes, or negative errno. EPIPE comes with SIGPIPE. */
ssize_t pipe_write(int fd, const uint8_t *p, size_t n);

/*
 * Wait for @events (poll(2)) unless @nonblock or the pipe is O_NONBLOCK: 0, -EAGAIN (it is not
 * to be waited for), or -EINTR.
 */
int pipe_wait(int fd, short events, bool nonblock);

#endif
