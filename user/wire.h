/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fail closed: the bytes that the kernel says were written to the socket since
 * TLS_TX must be those that we wrote. A difference means that something wrote
 * past us, in plaintext (a raw system call, an io_uring); the session is then
 * shut down, loudly. Called under tx_lock.
 */
#ifndef TLSULP_WIRE_H
#define TLSULP_WIRE_H

#include "user/conn.h"

/* TLS_TX was just set: count from here. */
void wire_start(struct conn *c, int fd);

/* Compare, unless the socket is shut down already. False: the session was failed. */
bool wire_check(struct conn *c, int fd);

/* Compare if many bytes went out since the last time. */
void wire_check_sometimes(struct conn *c, int fd);

#endif
