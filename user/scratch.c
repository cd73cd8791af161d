// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/scratch.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

static __thread struct scratch *mine;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void drop(void *p)
{
	mine = NULL;
	munmap(p, sizeof(struct scratch)); /* the kernel wipes the pages that held plaintext */
}

static void make_key(void)
{
	pthread_key_create(&key, drop);
}

struct scratch *scratch_get(void)
{
	void *p;

	if (__builtin_expect(mine != NULL, 1))
		return mine;
	pthread_once(&once, make_key);
	p = mmap(NULL, sizeof(struct scratch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, sizeof(struct scratch), MADV_DONTDUMP);
	pthread_setspecific(key, p);
	mine = p;
	return mine;
}
