/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Will a new program have this library? Only then may it get a TLS socket: it
 * would write plaintext otherwise. Whatever is not certain counts as no.
 * Async-signal-safe, and safe in a vfork child.
 */
#ifndef TLSULP_LOADER_H
#define TLSULP_LOADER_H

#include <stdbool.h>
#include <sys/types.h>

/* From the constructor: without it the answer is no (a program that linked the archive). */
void loader_init(void);

/* The file that execveat(@dir, @path) would run, with @envp. */
bool loader_runs_in(int dir, const char *path, char *const envp[]);
/* As execvp() finds @file, and of a file that is open. */
bool loader_runs_in_found(const char *file, char *const envp[]);
bool loader_runs_in_fd(int fd, char *const envp[]);

/*
 * A program that runs itself anew with an environment of its own (nginx at an upgrade) is not asked
 * to know of this library: where @envp is not environ, out of which it may have been taken on
 * purpose, has no LD_PRELOAD, and @path is the program that runs here already, @room gets @envp and
 * what this process was preloaded with. Returns which of the two to use.
 */
#define LOADER_ENV_MAX 1024 /* entries; a larger environment stays as it is */
char *const *loader_env(const char *path, char *const envp[], char *room[LOADER_ENV_MAX]);

/* Has the process this library now, as far as /proc can tell? */
bool loader_is_in(pid_t pid);

#endif
