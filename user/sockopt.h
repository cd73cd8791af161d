/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * setsockopt and getsockopt: TCP_ULP, level SOL_TLS, and the socket options that
 * the ULP must see (SO_RCVLOWAT, SO_RCVBUF). As libc's: 0, or -1 and errno.
 */
#ifndef TLSULP_SOCKOPT_H
#define TLSULP_SOCKOPT_H

#include <sys/socket.h>

int sockopt_set(int fd, int level, int name, const void *value, socklen_t len);
int sockopt_get(int fd, int level, int name, void *value, socklen_t *len);

#endif
