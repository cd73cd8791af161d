/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stdio: a FILE does its I/O inside libc, unseen by a preload. So a FILE made of
 * a TCP socket (fdopen) becomes one whose reads and writes are calls of ours, TLS
 * or not yet; the others are watched where they close or print to a descriptor.
 */
#ifndef TLSULP_STREAMS_H
#define TLSULP_STREAMS_H

#include <stdarg.h>
#include <stdio.h>

FILE *streams_fdopen(int fd, const char *mode);
int streams_fclose(FILE *f);
int streams_pclose(FILE *f);
FILE *streams_freopen(const char *path, const char *mode, FILE *f, int large);
int streams_fileno(FILE *f);
int streams_vdprintf(int fd, const char *format, va_list args);
void streams_backtrace(void *const *addresses, int n, int fd);
void streams_openlog(const char *ident, int options, int facility);

/* @fd has become a TLS socket: no FILE of libc's may write to it any more. */
void streams_take(int fd);

/* What is still in the buffers of our FILEs goes out. */
void streams_before_exit(void);

/* In a forked child: another thread may have been in here. */
void streams_after_fork(void);

#endif
