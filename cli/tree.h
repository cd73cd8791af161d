/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Process trees that run under tlsulp, as their statistics files tell.
 */
#ifndef TLSULP_CLI_TREE_H
#define TLSULP_CLI_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "user/stat.h"

/* A tree as it was when it was read. */
struct tree {
	struct stat_region *region;
	struct tree *next;
};

/* Read a statistics file of @uid or root. Returns 0, -errno or -EPROTO (another version). */
int tree_read(int dirfd, const char *name, uid_t uid, struct stat_region **region);
bool tree_alive(const struct stat_region *region);
/* The process that was started, or if it has ended (a daemon's) the oldest of the others. */
pid_t tree_head(const struct stat_region *region);
bool tree_has(const struct stat_region *region, pid_t pid);
void tree_forget(struct stat_region *region, pid_t pid);

/* All living trees of @uid, oldest first. *@foreign counts files of another version. */
struct tree *trees_of(uid_t uid, int *foreign);
void trees_free(struct tree *trees);

#endif
