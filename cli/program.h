/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which program a command line runs, and whether a library can be preloaded
 * into it.
 */
#ifndef TLSULP_CLI_PROGRAM_H
#define TLSULP_CLI_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/elf_info.h"

enum verdict {
	VERDICT_OK,
	VERDICT_UNREADABLE, /* may run, but this user cannot look into it */
	VERDICT_DAMAGED,
	VERDICT_SETID,
	VERDICT_CAPS,
	VERDICT_ARCH,
	VERDICT_GO,
	VERDICT_STATIC,
	VERDICT_LIBC,
};

#define PROGRAM_STEPS 6

struct program {
	/* path[0] is what was asked for; a script's interpreter follows it, and so on. */
	int steps;
	char path[PROGRAM_STEPS][PATH_MAX];
	enum verdict verdict;
	struct elf_info elf; /* of the last step */
	bool privileged; /* set-user-ID, set-group-ID or file capabilities, if only for others */
};

/* Find @name as a shell does. Returns 0, -ENOENT or -EACCES (found, but not executable). */
int program_find(const char *name, char *path, size_t size);

void program_inspect(const char *path, struct program *p);

/* Why nothing can be preloaded, as the end of the sentence "FILE ...". */
const char *program_why(enum verdict verdict);

/* What to do about it. */
const char *program_remedy(enum verdict verdict);

static inline const char *program_last(const struct program *p)
{
	return p->path[p->steps - 1];
}

#endif
