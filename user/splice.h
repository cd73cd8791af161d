/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* splice() between a pipe and a TLS connection. As libc's. */
#ifndef TLSULP_SPLICE_H
#define TLSULP_SPLICE_H

#include "user/conn.h"

/* From the pipe @in into records. */
ssize_t splice_to_tls(struct conn *c, int in, int fd, size_t len, unsigned int flags);

/* At most one data record into the pipe @out. */
ssize_t splice_from_tls(struct conn *c, int fd, int out, size_t len, unsigned int flags);

#endif
