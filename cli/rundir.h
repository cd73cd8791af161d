/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The run directory: one statistics file for each process tree, named
 * PIDNS-PID-START.stat after the tree's root, so that a file tells whose it is
 * before a byte is in it and trees of other pid namespaces are left alone.
 */
#ifndef TLSULP_CLI_RUNDIR_H
#define TLSULP_CLI_RUNDIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Make the run directory of this user if need be, and check that nobody else
 * can write in it. Returns a descriptor and the path, or -1 after saying why.
 */
int rundir_make(char *path, size_t size);

/*
 * Create the statistics file of the tree whose root is this process (the file
 * is kept if the process made one before and then ran `tlsulp run` again).
 * Returns 0 and the absolute path, or -1 after saying why.
 */
int rundir_create_stat(char *path, size_t size);

/* The path that rundir_create_stat() gives in process @pid; "" if there is no such file. */
void rundir_stat_path(pid_t pid, char *path, size_t size);

/* Remove the statistics files of trees that have no living process. */
void rundir_sweep(int dirfd);

/* The parts, for tree.c: the path; a descriptor, or -1 unless only @uid can write there. */
void rundir_choose(char *path, size_t size);
int rundir_open(const char *path, uid_t uid);
DIR *rundir_list(int dirfd);

/* The root of the tree that a file name tells of; false for other files and pid namespaces. */
bool rundir_parse_name(const char *name, pid_t *pid, uint64_t *start);

#endif
