// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/real.h"

#include <dlfcn.h>

struct real real;
bool real_ready;

/*
 * The next definition after this library; where the program links libtlsulp
 * after libc, the first one there is. It is to be there: dlsym() tells of a name that is not with
 * malloc(), and malloc() may be what called us while it begins (jemalloc's reads files).
 */
static void *find(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	return f ? f : dlsym(RTLD_DEFAULT, name);
}

void real_init(void)
{
	if (real_ready)
		return;
#define X(name) real.name = find(#name);
	REAL_FUNCTIONS(X)
	X(execveat)
#if __GLIBC_PREREQ(2, 36)
	X(pidfd_getfd)
#endif
	X(_Fork)
#if __GLIBC_PREREQ(2, 39)
	X(pidfd_spawn)
	X(pidfd_spawnp)
#endif
#undef X
	__atomic_store_n(&real_ready, true, __ATOMIC_RELEASE);
}

__attribute__((constructor(101))) static void real_constructor(void)
{
	real_init();
}

bool real_is_socket(int fd, uint64_t cookie)
{
	uint64_t is = 0;
	socklen_t len = sizeof(is);

	return !real.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &is, &len) && is == cookie;
}
