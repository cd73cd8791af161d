/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sendfile() to a connection whose TLS_TX is set. As libc's. */
#ifndef TLSULP_SENDFILE_H
#define TLSULP_SENDFILE_H

#include "user/conn.h"

ssize_t sendfile_tls(struct conn *c, int fd, int in_fd, off64_t *offset, size_t count);

#endif
