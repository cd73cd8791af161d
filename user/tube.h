/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A pipe that a program uses to splice() into a TLS socket costs two system calls and a copy more
 * than a buffer would. A tube is such a pipe whose bytes stay in this process: splice() puts them
 * into its text, and splice() takes them from there.
 *
 * Nobody can tell, because only a pipe is a tube that came from pipe() here and that no call but
 * splice(), and those that leave its bytes alone, has been made on since. Whatever else is done
 * with one of its numbers (read, poll, dup, a fork, passing it to another process) ends it first,
 * for good: what it holds goes into the pipe, and the pipe is one as any. Its bytes are in one
 * place at a time, too: while a call may sleep on the pipe in the kernel, or while
 * bytes are there, all goes there.
 *
 * Who opens the pipe again by /proc or pidfd_getfd(), or makes system calls that libc does not see,
 * does not find what is in the text.
 *
 * All calls are thread safe and, but for the two pairs that hold its lock in between, signal safe.
 * Lock order: those of sessions, then a tube's.
 */
#ifndef TLSULP_TUBE_H
#define TLSULP_TUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/fdtab.h"
#include "user/lock.h"

struct tube;

/* pipe2() has just returned these numbers. */
void tube_new(const int fd[2], int flags);

static inline bool tube_is(int fd)
{
	return fdtab_is_tube(fdtab_any(fd));
}

/* Something else than splice() is about to be done: if it is a tube, it ends. errno is kept. */
void tube_end(int fd);
static inline void tube_leave(int fd)
{
	if (__builtin_expect(tube_is(fd), 0))
		tube_end(fd);
}

/* The same for all of them, and for those with numbers from @first to @last. */
void tube_leave_all(void);
void tube_leave_range(unsigned int first, unsigned int last);

/* Is there any? */
bool tube_any(void);

/* Another process has the same numbers from now on: no pipe is one any more. */
void tube_never_again(void);

/* Around a fork: tube_leave_all(), and none comes to be before the child does. */
void tube_before_fork(void);
void tube_after_fork_parent(void);
/* In the child, also of a fork that nobody saw. */
void tube_after_fork(void);

/* fcntl(@fd, F_SETPIPE_SZ, @size), of whatever. */
int tube_resize(int fd, void *size);

/*
 * Place for up to *@n bytes to come; @origin is where they come from, an address or a file
 * offset. *@n becomes how many have room. NULL: they have to go into the pipe. Else tube_filled()
 * has to follow, in the same thread, with how many came; until then the tube is locked.
 */
struct tube_hold {
	struct tube *tube;
	struct lock_guard guard;
};
uint8_t *tube_room(int fd, uintptr_t origin, size_t *n, struct tube_hold *h);
void tube_filled(struct tube_hold *h, size_t n);

/* The next bytes, *@n of them, or NULL: it holds none. tube_taken() has to follow in the same way.
 */
const uint8_t *tube_text(int fd, size_t *n, struct tube_hold *h);
void tube_taken(struct tube_hold *h, size_t n);

/* Nothing is in it, nor on its way. */
bool tube_is_dry(int fd);

/*
 * Bytes of @in, a file, at *@offset (NULL: where it stands) into the tube @out, without waiting.
 * Bytes, 0 (the file's end), or -EAGAIN: it is no tube now, or not to be had so.
 */
ssize_t tube_from_file(int in, off64_t *offset, int out, size_t n);

/* splice() by the kernel, with or without tubes among the numbers. */
ssize_t tube_splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
		    unsigned int flags);

/* As pipe.h's, on pipes that may be tubes; tube_read() reads what is in the kernel. */
ssize_t tube_read(int fd, uint8_t *p, size_t n);
ssize_t tube_write(int fd, const uint8_t *p, size_t n);
int tube_wait(int fd, short events, bool nonblock);

#endif
