/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * exec and posix_spawn: the session of a TLS socket that the new program
 * inherits goes along in its parcel, which arrival.c finds there. A program that
 * will not have this library would write plaintext: it does not get the socket.
 */
#ifndef TLSULP_EXEC_H
#define TLSULP_EXEC_H

#include <spawn.h>
#include <stdio.h>
#include <wordexp.h>

#include "user/conn.h"

int exec_ve(const char *path, char *const argv[], char *const envp[]);
int exec_vpe(const char *file, char *const argv[], char *const envp[]);
int exec_f(int fd, char *const argv[], char *const envp[]);
int exec_at(int dirfd, const char *path, char *const argv[], char *const envp[], int flags);

/* @spawn: libc's posix_spawn, or pidfd_spawn, whose result at @pid is a descriptor. */
typedef __typeof__(posix_spawn) exec_spawner;
int exec_spawn(exec_spawner *spawn, pid_t *pid, const char *path,
	       const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
	       char *const argv[], char *const envp[]);
/* The same of a file that is looked for in PATH. */
int exec_spawnp(exec_spawner *spawn, pid_t *pid, const char *file,
		const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		char *const argv[], char *const envp[]);

int exec_system(const char *command);
void exec_system_after_fork(void);

/* Those that run a shell with posix_spawn inside libc. */
FILE *exec_popen(const char *command, const char *mode);
int exec_wordexp(const char *words, wordexp_t *expanded, int flags);

/*
 * Between begin and end no other thread makes a program ready: descriptors that
 * it would have to know of are made in between.
 */
bool exec_begin(void);
void exec_end(bool begun);
void exec_after_fork(void);

/*
 * A vfork child runs a program with the sessions that were ready to go before: all
 * it would make then, a memfd too, its parent would not have. Returns libc's vfork().
 */
pid_t (*exec_before_vfork(void))(void);

/* A vfork child made @fd, a duplicate of a socket of @c. */
void exec_copied(struct conn *c, int fd);

int exec_spawn_init(posix_spawn_file_actions_t *actions);
int exec_spawn_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd);

#endif
