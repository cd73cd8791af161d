// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/streams.h"

#include "user/calls.h"
#include "user/conn.h"
#include "user/kind.h"
#include "user/lock.h"
#include "user/process.h"
#include "user/real.h"
#include "user/tube.h"

#include <errno.h>
#include <execinfo.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* A FILE of ours and its descriptor; libc knows none for it. */
struct stream {
	struct stream *next;
	FILE *file;
	int fd;
};

static struct stream *streams;
static struct lock list_lock;

static void lock_list(struct lock_guard *g)
{
	lock_block_signals(g);
	lock_take(&list_lock);
}

static void unlock_list(struct lock_guard *g)
{
	lock_drop(&list_lock);
	lock_restore_signals(g);
}

static ssize_t stream_read(void *cookie, char *buf, size_t n)
{
	return tlsulp_read(((struct stream *)cookie)->fd, buf, n);
}

static ssize_t write_all(int fd, const char *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t put = tlsulp_write(fd, buf + done, n - done);

		if (put < 0)
			return done ? (ssize_t)done : -1;
		done += put;
	}
	return done;
}

static ssize_t stream_write(void *cookie, const char *buf, size_t n)
{
	ssize_t put = write_all(((struct stream *)cookie)->fd, buf, n);

	return put < 0 ? 0 : put; /* fopencookie(3): 0 is the error */
}

static int stream_close(void *cookie)
{
	struct stream *s = cookie, **p;
	struct lock_guard g;
	int fd = s->fd;

	lock_list(&g);
	for (p = &streams; *p && *p != s; p = &(*p)->next)
		;
	if (*p)
		*p = s->next;
	unlock_list(&g);
	free(s);
	return tlsulp_close(fd);
}

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return !real.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == IPPROTO_TCP;
}

/* As a socket: stdio expects it and goes on, and with NULL here errno would be anything. */
static int stream_seek(void *cookie, off64_t *offset, int whence)
{
	errno = ESPIPE;
	return -1;
}

static FILE *stream_new(int fd, const char *mode)
{
	static const cookie_io_functions_t io = { stream_read, stream_write, stream_seek,
						  stream_close };
	struct lock_guard g;
	struct stream *s;

	s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	s->fd = fd;
	s->file = fopencookie(s, mode, io);
	if (!s->file) {
		free(s);
		return NULL;
	}
	lock_list(&g);
	s->next = streams;
	streams = s;
	unlock_list(&g);
	return s->file;
}

FILE *streams_fdopen(int fd, const char *mode)
{
	tube_leave(fd);
	return is_tcp(fd) ? stream_new(fd, mode) : real.fdopen(fd, mode);
}

/* The descriptor of a FILE of ours, or -1. */
static int our_fd(FILE *f)
{
	struct lock_guard g;
	int fd = -1;

	if (__builtin_expect(!__atomic_load_n(&streams, __ATOMIC_RELAXED), 1))
		return -1;
	lock_list(&g);
	for (struct stream *s = streams; s; s = s->next)
		if (s->file == f)
			fd = s->fd;
	unlock_list(&g);
	return fd;
}

int streams_fileno(FILE *f)
{
	int fd = our_fd(f);

	return fd >= 0 ? fd : real.fileno(f);
}

/* ---- libc's own FILEs on a number that is a TLS socket by now ---- */

extern FILE *_IO_list_all;
extern void _IO_list_lock(void);
extern void _IO_list_unlock(void);

/* In place of a descriptor number: libc gets EBADF from it, we the number back. */
#define TAKEN(fd) (-1000 - (fd))

static FILE **std_variable(const FILE *f)
{
	return f == stdin ? &stdin : f == stdout ? &stdout : f == stderr ? &stderr : NULL;
}

/*
 * From here on @f writes nothing. What it holds goes out as the socket does it
 * now. Standard input, output and error get a stream of ours; another FILE
 * gives EBADF, because its pointer is in the program's hands.
 */
static void take(FILE *f, int fd)
{
	FILE **variable = std_variable(f), *ours = NULL;
	size_t left = f->_IO_write_base ? f->_IO_write_ptr - f->_IO_write_base : 0;

	if (variable)
		ours = stream_new(fd, f == stdin ? "r" : "w");
	if (left)
		write_all(fd, f->_IO_write_base, left);
	f->_IO_write_ptr = f->_IO_write_base;
	f->_fileno = TAKEN(fd);
	if (!ours)
		return;
	if (f == stderr)
		setvbuf(ours, NULL, _IONBF, 0);
	*variable = ours;
}

/* LOG_PERROR writes to descriptor 2 inside libc. */
static struct {
	const char *ident;
	int options, facility;
	bool open;
} syslog_as;

void streams_openlog(const char *ident, int options, int facility)
{
	syslog_as.ident = ident;
	syslog_as.options = options;
	syslog_as.facility = facility;
	syslog_as.open = true;
	real.openlog(ident, fdtab_get(2) ? options & ~LOG_PERROR : options, facility);
}

void streams_take(int fd)
{
	FILE *found[16];
	int n = 0;

	if (process_is_vfork_child())
		return;
	_IO_list_lock();
	for (FILE *f = _IO_list_all; f && n < 16; f = f->_chain)
		if (f->_fileno == fd)
			found[n++] = f;
	_IO_list_unlock();
	for (int i = 0; i < n; i++) {
		flockfile(found[i]);
		if (found[i]->_fileno == fd)
			take(found[i], fd);
		funlockfile(found[i]);
	}
	if (fd == 2 && syslog_as.open && (syslog_as.options & LOG_PERROR))
		streams_openlog(syslog_as.ident, syslog_as.options, syslog_as.facility);
}

void streams_before_exit(void)
{
	/* A thread that is blocked on its FILE holds the lock: libc flushes that one, without. */
	for (struct stream *s = streams; s; s = s->next) {
		if (ftrylockfile(s->file))
			continue;
		fflush_unlocked(s->file);
		funlockfile(s->file);
	}
}

/*
 * A FILE that libc made of a descriptor that is a TLS socket by now: what is
 * left in its buffer would be written in plaintext. It is not; it goes out as
 * records.
 */
static void flush_as_records(FILE *f, int fd)
{
	size_t n = f->_IO_write_ptr - f->_IO_write_base;

	if (n && f->_IO_write_base)
		write_all(fd, f->_IO_write_base, n);
	f->_IO_write_ptr = f->_IO_write_base;
}

/* The number of a FILE of libc's that is a TLS socket, or -1; what it had buffered goes out. */
static int leave_file(FILE *f)
{
	int fd = f && our_fd(f) < 0 ? real.fileno(f) : -1;

	if (fd < 0 || !fdtab_get(fd))
		return -1;
	flockfile(f);
	flush_as_records(f, fd);
	funlockfile(f);
	return fd;
}

static int close_file(FILE *f, int (*by)(FILE *f))
{
	int fd = f ? real.fileno(f) : -1;
	int got = by(f);

	kind_forget(fd);
	return got;
}

int streams_pclose(FILE *f)
{
	return close_file(f, real.pclose);
}

int streams_fclose(FILE *f)
{
	int fd = f ? TAKEN(f->_fileno) : -1;

	if (fd < 0) {
		fd = leave_file(f);
		if (fd < 0)
			return close_file(f, real.fclose);
		f->_fileno = -1; /* the number is ours to close */
	}
	real.fclose(f);
	return tlsulp_close(fd);
}

/* The file takes the stream's number; libc's freopen() knows only FILEs that it made itself. */
static FILE *reopen_ours(const char *path, const char *mode, FILE *f, int fd)
{
	FILE *file = path ? fopen64(path, mode) : NULL;
	int got;

	fflush(f);
	if (!file) {
		if (!path)
			errno = EBADF;
		real.fclose(f);
		return NULL;
	}
	got = tlsulp_dup2(real.fileno(file), fd);
	real.fclose(file);
	clearerr(f);
	return got < 0 ? NULL : f;
}

FILE *streams_freopen(const char *path, const char *mode, FILE *f, int large)
{
	int fd = our_fd(f);
	FILE *file;

	if (fd >= 0)
		return reopen_ours(path, mode, f, fd);
	fd = leave_file(f);
	if (fd >= 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		/* libc closes what is on the number itself: it gets something harmless. */
		if (null < 0 || tlsulp_dup2(null, fd) < 0)
			return NULL;
		real.close(null);
	}
	fd = real.fileno(f);
	file = large ? real.freopen64(path, mode, f) : real.freopen(path, mode, f);
	kind_forget(fd);
	return file;
}

int streams_vdprintf(int fd, const char *format, va_list args)
{
	char *text;
	int n;

	tube_leave(fd);
	if (!fdtab_get(fd))
		return real.vdprintf(fd, format, args);
	n = vasprintf(&text, format, args);
	if (n < 0)
		return -1;
	n = write_all(fd, text, n);
	free(text);
	return n;
}

void streams_backtrace(void *const *addresses, int n, int fd)
{
	char **names = backtrace_symbols(addresses, n);

	for (int i = 0; names && i < n; i++) {
		write_all(fd, names[i], strlen(names[i]));
		write_all(fd, "\n", 1);
	}
	free(names);
}

void streams_after_fork(void)
{
	list_lock = (struct lock){ 0 };
}
