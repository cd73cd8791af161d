/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rooms of the tlsulp command, and the few calls that each one offers.
 */
#ifndef TLSULP_CLI_H
#define TLSULP_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit statuses of `tlsulp run` before the program runs: those of a shell, and env(1)'s 125. */
#define EXIT_CANNOT_START 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* The commands. argv[0] is the command's own name; the result is the exit status. */
int run_main(int argc, char **argv);
int stat_main(int argc, char **argv);
int doctor_main(int argc, char **argv);

/* say.c: "tlsulp: ...\n" to stderr */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* usage.c: the help of one command (NULL: of all) */
void usage_print(const char *command, bool to_stderr);

/* library.c: where libtlsulp.so is. Returns 0 or -ENOENT. */
int library_find(char *path, size_t size);
/* What to say then, and what to do. */
const char *library_missing(void);
/* Can LD_PRELOAD hold its path? */
bool library_preloads(const char *path);
#define LIBRARY_PATH_REMEDY                                                                        \
	"LD_PRELOAD cannot hold a path with a space or a colon in it: move it to another "         \
	"directory"

/* proc.c: processes by pid and start time (field 22 of /proc/PID/stat; 0: unknown) */
uint64_t proc_start(pid_t pid);
bool proc_alive(pid_t pid, uint64_t start);
void proc_name(pid_t pid, char *name, size_t size);
pid_t proc_parent(pid_t pid); /* 0: unknown */

#endif
