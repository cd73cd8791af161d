/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake.so: the ULP that the conformance run must never believe. It says yes to
 * every TLS option, keeps books that look right (one line a key in the file
 * FAKE_ULP_BOOKS, from which selftest.sh prints counters) and lets the bytes
 * go out as they are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static void keep_books(int fd, int name)
{
	int out = open(getenv("FAKE_ULP_BOOKS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	dprintf(out, "%s %llu\n", name == 1 ? "TX" : "RX", (unsigned long long)cookie);
	close(out);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	static int (*next)(int, int, int, const void *, socklen_t);

	if (level == IPPROTO_TCP && name == TCP_ULP)
		return 0;
	if (level == SOL_TLS) {
		if (name == 1 || name == 2)
			keep_books(fd, name);
		return 0;
	}
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
	return next(fd, level, name, value, len);
}
