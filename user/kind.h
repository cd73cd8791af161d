/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What kind of file a number is, asked of the kernel once and then known until the number is
 * closed: fstat() costs as much as sealing 1 KiB. A number that was closed behind our back (by a
 * raw system call, or inside libc) may be taken for what it was; calls on it then fail as
 * the kernel sees fit.
 */
#ifndef TLSULP_KIND_H
#define TLSULP_KIND_H

#include <stdbool.h>

enum kind {
	KIND_UNKNOWN, /* not open */
	KIND_OTHER,
	KIND_FILE, /* regular, or a block device: it has offsets and pages */
	KIND_PIPE,
};

/* 0: @fd is of this kind; -EINVAL: it is not; -EBADF: it is not open. */
int kind_check(int fd, enum kind kind);

/* After kind_check(@fd, KIND_FILE): is it a file of a tmpfs, which is read without waiting? */
bool kind_is_in_memory(int fd);

/* The number was closed, or became another file: after that. */
void kind_forget(int fd);
void kind_forget_range(unsigned int first, unsigned int last);

#endif
