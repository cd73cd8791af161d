// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/tube.h"

#include "user/conn.h"
#include "user/fault.h"
#include "user/kind.h"
#include "user/pipe.h"
#include "user/process.h"
#include "user/real.h"
#include "user/say.h"
#include "user/scratch.h"
#include "user/uring.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define TUBES_MAX 1024
#define TEXT_MAX 65536u /* a pipe's usual size; not more than the pipe has room for */
#define TEXT_MAP (TEXT_MAX + SCRATCH_PAGE)
#define TEXTS_KEPT 32 /* for the next pipes, though nobody needs them now */

struct tube {
	struct lock lock;
	uint8_t *text; /* stays for the next pipe */
	int fd[2]; /* to read, to write; the numbers are in fdtab as long as it is one */
	/* From here on tube_new() sets all to 0. */
	bool gone; /* it is none any more, but calls are inside */
	bool feeds; /* what came out of it last went into records */
	uint32_t inside; /* calls that move or await bytes in the kernel */
	int64_t queued; /* bytes in the kernel's pipe */
	size_t cap; /* what the pipe has room for; 0: not asked yet */
	dev_t dev; /* of the pipe, asked for with cap */
	ino_t ino;
	size_t at, n; /* text + at: n bytes */
	struct tube *next_free;
};

static struct tube tubes[TUBES_MAX];
static uint32_t tubes_top; /* of them were in use at some time */
static struct tube *free_list;
static struct lock list_lock; /* free_list, tubes_top's writers */
static uint32_t live; /* tubes */
static uint32_t held_off; /* no new ones now: forks under way, or another process has our numbers */
static bool is_shared; /* the latter */
static unsigned int texts; /* mapped */

static struct conn *entry_of(const struct tube *t)
{
	return (struct conn *)((uintptr_t)t | FDTAB_TUBE);
}

static struct tube *tube_at(int fd)
{
	struct conn *entry = fdtab_any(fd);

	return fdtab_is_tube(entry) ? (struct tube *)((uintptr_t)entry & ~(uintptr_t)FDTAB_TUBE)
				    : NULL;
}

static void recycle(struct tube *t)
{
	struct lock_guard g;

	lock_enter(&list_lock, &g);
	if (t->text && texts > TEXTS_KEPT) {
		munmap(t->text, TEXT_MAP);
		t->text = NULL;
		texts--;
	}
	t->next_free = free_list;
	free_list = t;
	lock_leave(&list_lock, &g);
}

/* The tube of @fd, locked, or NULL. */
static struct tube *enter(int fd, struct lock_guard *g)
{
	struct tube *t;

	while ((t = tube_at(fd))) {
		conn_after_fork();
		lock_enter(&t->lock, g);
		if (tube_at(fd) == t && !t->gone)
			return t;
		lock_leave(&t->lock, g);
	}
	return NULL;
}

static void leave(struct tube *t, const struct lock_guard *g)
{
	bool over = t->gone && !t->inside;

	lock_leave(&t->lock, g);
	if (over)
		recycle(t);
}

/* ---- the way back into the pipe ---- */

static bool is_same_pipe(const struct tube *t)
{
	struct stat st;

	return !fstat(t->fd[1], &st) && S_ISFIFO(st.st_mode) && st.st_ino == t->ino &&
	       st.st_dev == t->dev;
}

/* The pipe is empty and has room for all; it is not, if somebody wrote to it past this library. */
static void flush(struct tube *t)
{
	bool is_enlarged = false;

	if (t->n && !is_same_pipe(t)) {
		say("descriptor %d, a pipe, was closed past libtlsulp: %zu bytes in it are lost. "
		    "Close it with close().",
		    t->fd[1], t->n);
		t->n = 0;
	}
	while (t->n) {
		ssize_t put = pipe_write(t->fd[1], t->text + t->at, t->n);
		struct pollfd room = { t->fd[1], POLLOUT, 0 };

		if (put == -EAGAIN && !is_enlarged) {
			is_enlarged = true;
			real.fcntl(t->fd[1], F_SETPIPE_SZ, 2 * TEXT_MAX);
		} else if (put == -EAGAIN) {
			sys_call(SYS_ppoll, &room, 1, NULL, NULL, 0);
		} else if (put < 0) {
			t->n = 0; /* nobody can read it any more */
		} else {
			t->at += put;
			t->n -= put;
			t->queued += put;
		}
	}
}

static void end(struct tube *t)
{
	flush(t);
	t->gone = true;
	__atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		struct conn *entry = entry_of(t);

		__atomic_compare_exchange_n(&fdtab[t->fd[i]], &entry, NULL, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED);
	}
}

/* ---- life ---- */

void tube_new(const int fd[2], int flags)
{
	struct lock_guard g;
	struct tube *t;

	if (fd[0] >= FDTAB_SIZE || fd[1] >= FDTAB_SIZE || fd[0] <= STDERR_FILENO ||
	    fd[1] <= STDERR_FILENO || (flags & O_DIRECT) || process_is_vfork_child())
		return; /* libc itself uses the first three */
	conn_after_fork();
	lock_enter(&list_lock, &g);
	t = free_list;
	if (t)
		free_list = t->next_free;
	else if (tubes_top < TUBES_MAX)
		t = &tubes[__atomic_fetch_add(&tubes_top, 1, __ATOMIC_RELEASE)];
	lock_leave(&list_lock, &g);
	if (!t)
		return;
	lock_enter(&t->lock, &g);
	memset(&t->gone, 0, sizeof(*t) - offsetof(struct tube, gone));
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&t->fd[i], fd[i], __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
	/* Either this sees a fork, or tube_leave_all() for it sees this. */
	for (int i = 0; i < 2 && !t->gone; i++) {
		struct conn *none = NULL;

		if (!__atomic_compare_exchange_n(&fdtab[fd[i]], &none, entry_of(t), false,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			end(t); /* somebody closes it already */
	}
	if (!t->gone && __atomic_load_n(&held_off, __ATOMIC_SEQ_CST))
		end(t);
	leave(t, &g);
}

void tube_end(int fd)
{
	int saved = errno;
	struct lock_guard g;
	struct tube *t = process_is_vfork_child() ? NULL : enter(fd, &g);

	if (t) {
		end(t);
		leave(t, &g);
	}
	errno = saved;
}

void tube_leave_range(unsigned int first, unsigned int last)
{
	uint32_t top = __atomic_load_n(&tubes_top, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < top; i++)
		for (int way = 0; way < 2; way++) {
			int fd = __atomic_load_n(&tubes[i].fd[way], __ATOMIC_SEQ_CST);

			if ((unsigned int)fd >= first && (unsigned int)fd <= last &&
			    tube_at(fd) == &tubes[i])
				tube_end(fd);
		}
}

void tube_leave_all(void)
{
	tube_leave_range(0, FDTAB_SIZE - 1);
}

void tube_before_fork(void)
{
	__atomic_add_fetch(&held_off, 1, __ATOMIC_SEQ_CST);
	tube_leave_all();
}

void tube_after_fork_parent(void)
{
	__atomic_sub_fetch(&held_off, 1, __ATOMIC_SEQ_CST);
}

/* What they hold is the parent's. */
void tube_after_fork(void)
{
	held_off = is_shared;
	list_lock = (struct lock){ 0 };
	for (uint32_t i = 0; i < tubes_top; i++) {
		struct tube *t = &tubes[i];

		t->lock = (struct lock){ 0 };
		t->n = t->inside = 0;
		if (tube_at(t->fd[0]) == t || tube_at(t->fd[1]) == t) {
			end(t);
			recycle(t);
		}
	}
}

int tube_resize(int fd, void *size)
{
	struct lock_guard g;
	struct tube *t = enter(fd, &g);
	int got;

	if (!t)
		return real.fcntl(fd, F_SETPIPE_SZ, size);
	flush(t);
	got = real.fcntl(fd, F_SETPIPE_SZ, size);
	t->cap = 0;
	leave(t, &g);
	return got;
}

bool tube_any(void)
{
	return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

void tube_never_again(void)
{
	is_shared = true;
	tube_before_fork();
}

/* ---- bytes in the text ---- */

/* What has to be known before the first byte. */
static bool get_ready(struct tube *t)
{
	struct lock_guard g;
	struct stat st;
	int size;

	if (t->cap)
		return true;
	if (uring_may_read()) /* which cannot be seen */
		return false;
	size = real.fcntl(t->fd[1], F_GETPIPE_SZ);
	if (size <= 0 || fstat(t->fd[1], &st) || !S_ISFIFO(st.st_mode))
		return false;
	if (!t->text) {
		void *p = mmap(NULL, TEXT_MAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p == MAP_FAILED)
			return false;
		t->text = p;
		lock_enter(&list_lock, &g);
		texts++;
		lock_leave(&list_lock, &g);
	}
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	t->cap = (size_t)size < TEXT_MAX ? (size_t)size : TEXT_MAX;
	return true;
}

uint8_t *tube_room(int fd, uintptr_t origin, size_t *n, struct tube_hold *h)
{
	struct tube *t = enter(fd, &h->guard);
	size_t room;

	if (!t)
		return NULL;
	if (fd != t->fd[1] || !t->feeds || t->inside || t->queued || !get_ready(t)) {
		leave(t, &h->guard);
		return NULL;
	}
	/* As the origin within its page: then records begin half a page off (scratch.h). */
	if (!t->n)
		t->at = origin & (SCRATCH_PAGE - 1);
	room = TEXT_MAP - t->at - t->n;
	if (room > t->cap - t->n)
		room = t->cap - t->n;
	if (!room) {
		leave(t, &h->guard);
		return NULL;
	}
	if (*n > room)
		*n = room;
	h->tube = t;
	return t->text + t->at + t->n;
}

void tube_filled(struct tube_hold *h, size_t n)
{
	h->tube->n += n;
	leave(h->tube, &h->guard);
}

const uint8_t *tube_text(int fd, size_t *n, struct tube_hold *h)
{
	struct tube *t = enter(fd, &h->guard);

	if (!t)
		return NULL;
	if (fd != t->fd[0] || !t->n) {
		leave(t, &h->guard);
		return NULL;
	}
	if (*n > t->n)
		*n = t->n;
	h->tube = t;
	return t->text + t->at;
}

void tube_taken(struct tube_hold *h, size_t n)
{
	h->tube->at += n;
	h->tube->n -= n;
	leave(h->tube, &h->guard);
}

bool tube_is_dry(int fd)
{
	struct lock_guard g;
	struct tube *t = enter(fd, &g);
	bool dry = t && !t->n && !t->inside && !t->queued;

	if (t)
		leave(t, &g);
	return dry;
}

/* At a glance; tube_room() looks closer. */
static bool is_fed(int fd)
{
	const struct tube *t = tube_at(fd);

	return t && __atomic_load_n(&t->feeds, __ATOMIC_RELAXED);
}

ssize_t tube_from_file(int in, off64_t *offset, int out, size_t n)
{
	off64_t at = 0;
	struct tube_hold h;
	struct iovec iov;
	uint8_t *room;
	ssize_t got;

	if (!n || !is_fed(out) || (offset && fault_copy(&at, offset, sizeof(at))) ||
	    kind_check(in, KIND_FILE))
		return -EAGAIN;
	room = tube_room(out, at, &n, &h);
	if (!room)
		return -EAGAIN;
	iov = (struct iovec){ room, n };
	got = sys_call(SYS_preadv2, in, &iov, 1, offset ? at : -1l, 0l,
		       kind_is_in_memory(in) ? 0 : RWF_NOWAIT);
	at += got > 0 ? got : 0;
	if (got > 0 && offset && fault_copy(offset, &at, sizeof(at)))
		got = -1;
	tube_filled(&h, got > 0 ? got : 0);
	return got < 0 ? -EAGAIN : got; /* what is wrong the kernel says again */
}

/* ---- bytes in the kernel ---- */

static struct tube *go_inside(int fd)
{
	struct lock_guard g;
	struct tube *t = enter(fd, &g);

	if (!t)
		return NULL;
	flush(t);
	t->inside++;
	leave(t, &g);
	return t;
}

static void come_back(struct tube *t, ssize_t moved, bool feeds)
{
	struct lock_guard g;

	if (!t)
		return;
	lock_enter(&t->lock, &g);
	t->inside--;
	t->queued += moved;
	/* Where bytes went decides where the next ones wait. */
	if (moved < 0)
		__atomic_store_n(&t->feeds, feeds, __ATOMIC_RELAXED);
	leave(t, &g);
}

ssize_t tube_splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
		    unsigned int flags)
{
	struct tube *from, *to;
	ssize_t n;
	int saved;

	if (__builtin_expect(!tube_is(in) && !tube_is(out), 1))
		return real.splice(in, in_off, out, out_off, len, flags);
	from = go_inside(in);
	to = go_inside(out);
	n = real.splice(in, in_off, out, out_off, len, flags);
	saved = errno;
	come_back(from, n > 0 ? -n : 0, false);
	come_back(to, n > 0 ? n : 0, false);
	errno = saved;
	return n;
}

ssize_t tube_read(int fd, uint8_t *p, size_t n)
{
	struct tube *t = go_inside(fd);
	ssize_t got = pipe_read(fd, p, n);

	come_back(t, got > 0 ? -got : 0, true);
	return got;
}

ssize_t tube_write(int fd, const uint8_t *p, size_t n)
{
	struct tube_hold h;
	size_t len = n;
	uint8_t *room = tube_room(fd, (uintptr_t)p, &len, &h);
	struct tube *t;
	ssize_t put;

	if (room) {
		memcpy(room, p, len);
		tube_filled(&h, len);
		return len;
	}
	t = go_inside(fd);
	put = pipe_write(fd, p, n);
	come_back(t, put > 0 ? put : 0, false);
	return put;
}

int tube_wait(int fd, short events, bool nonblock)
{
	struct tube *t = go_inside(fd);
	int err = pipe_wait(fd, events, nonblock);

	come_back(t, 0, false);
	return err;
}
