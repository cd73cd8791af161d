/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The userspace home inside a test: loopback connections with keys, and what is on their wire. */
#ifndef TLSULP_TESTS_HOME_H
#define TLSULP_TESTS_HOME_H

#include <sys/types.h>

#include "tests/unit/evp.h"
#include "user/include/tlsulp.h"

/* As preload.c's constructor does; the kernel's own ULP is never asked. */
void home_start(void);

/* A TCP connection over loopback. */
void home_connect(int fd[2]);

/* Attach the ULP. */
void home_attach(int fd);

/* setsockopt() of the keys that keys_seeded(version, cipher, seed) makes. */
void home_set_keys(int fd, int name, uint16_t version, uint16_t cipher, uint32_t seed);

/*
 * A connection whose fd[0] sends TLS records under the keys of seed 1. fd[1] is
 * plain TCP for reading records raw, or with @rx opens them itself.
 */
struct tls_keys home_tx_pair(int fd[2], uint16_t version, uint16_t cipher, bool rx);

/* A connection whose fd[1] receives TLS records; fd[0] is plain TCP to write any bytes. */
struct tls_keys home_rx_pair(int fd[2], uint16_t version, uint16_t cipher);

void home_close(int fd[2]);

/* Exactly @n bytes by libc's calls. */
void raw_write(int fd, const void *p, size_t n);
void raw_read(int fd, void *p, size_t n);

/* The next record on the wire, opened: its plaintext length, or -1 if the seal is broken. */
ssize_t raw_record(int fd, struct tls_keys *k, uint8_t *plain, uint8_t *type);

/* Nothing is in @fd's queue. */
bool raw_is_empty(int fd);

/* A page that may not be touched, after one that may: the address of their border. */
uint8_t *bad_page(void);

#endif
