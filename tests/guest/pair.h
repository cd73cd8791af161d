/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loopback connections with keys, and which home has them: what homes.c is written with. */
#ifndef TLSULP_TESTS_GUEST_PAIR_H
#define TLSULP_TESTS_GUEST_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/cipher.h"

/* The test ends here and has failed. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			fail("%s:%d: %s", __FILE__, __LINE__, #what);                              \
	} while (0)

/* @call gives -1 and errno is @err. */
#define CHECK_ERR(call, err) CHECK((call) == -1 && errno == (err))

struct pair {
	int a, b;
};

struct pair pair_connect(void);
/* Connected, and both ends have the ULP. */
struct pair pair_attached(void);
void pair_close(struct pair *p);

int ulp(int fd);
/* The key of generation @gen; the same for both directions. As setsockopt(). */
int set_key(int fd, int direction, uint16_t version, uint16_t cipher, int gen);
/* The valid struct of such a key, of *@len bytes. */
const void *key_info(uint16_t version, uint16_t cipher, int gen, size_t *len);
/* All four keys. */
void set_all_keys(const struct pair *p, uint16_t version, uint16_t cipher);

/* @n bytes (at most 64 KiB) from @from to @to in one send. */
void pass(int from, int to, size_t n);
/* The same where @fd sends and @to receives a file by sendfile(). */
void pass_file(int from, int to, size_t n);
/* A record of @type: as sendmsg(). */
ssize_t send_typed(int fd, uint8_t type, const void *data, size_t len);
/* As recv(), with the type of what came, -1: not told. */
ssize_t recv_typed(int fd, void *to, size_t len, int *type, int flags);
/* A record from @from whose other end @to is plain TCP: nothing of the plaintext is in it. */
size_t raw_record(int from, int to, size_t n);

/* The kernel's answer, past every preload: has @fd a ULP beneath? */
bool has_kernel_ulp(int fd);

enum home { NOBODY, OURS, KERNELS };

/* Keys installed so far, by home and direction. */
struct counts {
	long kernel_tx, kernel_rx, our_tx, our_rx;
};

struct counts counts_now(void);
/* Since @then @tx and @rx keys were installed in @home, and none elsewhere. */
void counts_expect(const struct counts *then, enum home home, long tx, long rx);
/* No connection is counted as open any more, in either home. */
void counts_expect_closed(void);

#endif
