/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A parcel is a memfd, sealed against a change of its size, that goes with a
 * socket to another program and carries that socket's session. Its descriptor
 * is not the program's: it has a high number, ends with exec unless it is sent
 * along, and calls that would close or replace it are kept off it.
 *
 * Safe from any thread, and in a vfork child for looking.
 */
#ifndef TLSULP_PARCEL_H
#define TLSULP_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* How each begins, in every version of this library. */
struct parcel_head {
	uint32_t magic;
	uint32_t layout; /* of the rest: changes with the version */
	uint64_t cookie; /* SO_COOKIE of the socket */
};

#define PARCEL_MAGIC 0x4c53544cu

/* A new one of @size bytes: its number (1 or more), or -ENOMEM, -EMFILE, -ENOSYS. */
int parcel_new(size_t size);

/* Is @fd one that a process of this user, or root's, made? Then *@head is its beginning. */
bool parcel_is_one(int fd, struct parcel_head *head);
bool parcel_has_size(int parcel, size_t size);

/* Keep @fd, which is one, as a parcel; @fd itself is closed in any case. As parcel_new(). */
int parcel_keep(int fd);

/* A duplicate with a number that programs do not look for, or -errno. */
int parcel_step_aside(int fd);

/* Which memfd it is: the same for every descriptor of it. */
uint64_t parcel_id(int parcel);
uint64_t parcel_id_of(int fd);

/* Its descriptor now, or -1: the program has closed it past us. */
int parcel_fd(int parcel);

void parcel_drop(int parcel);

/* Is @fd a parcel's? Then the program is told that it is closed. */
extern uint32_t parcel_count;
bool parcel_hides(int fd);

/* The program wants the number @fd for itself: the parcel moves to another. */
void parcel_evade(int fd);

/* In a fork's child: another thread may have been in here. */
void parcel_after_fork(void);

/* The next number from @fd on that is a parcel's, or -1. */
int parcel_next(int fd);

#endif
