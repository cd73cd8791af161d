// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/arrival.h"

#include "user/handover.h"
#include "user/fault.h"
#include "user/linger.h"
#include "user/parcel.h"
#include "user/real.h"
#include "user/say.h"
#include "user/streams.h"
#include "user/uring.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#define FDS_MAX 1024 /* numbers that the new program looks through where /proc is missing */

/* Without its session a TLS socket would carry plaintext. */
static void fail_closed(int fd, int err)
{
	if (err == -EBUSY)
		say("the TLS session of descriptor %d came locked, and the process that locked it "
		    "does not go on; the connection was shut down. Look at who sent it.",
		    fd);
	else
		say("the TLS session of descriptor %d came from another version of tlsulp, or "
		    "damaged, or there is no memory for it; the connection was shut down. Run "
		    "both programs under one version.",
		    fd);
	real.shutdown(fd, SHUT_RDWR);
}

/* The socket @fd gets its session; what is left to be sent is sent. */
static void unpack(int fd, struct arena *a)
{
	struct conn *c;
	int err = uring_check();

	if (!err)
		err = fault_init();
	if (!err)
		err = handover_unpack(fd, a);
	if (err) {
		fail_closed(fd, err);
		handover_refuse(a);
		return;
	}
	streams_take(fd);
	c = conn_pin(fd);
	if (!c)
		return;
	/* Not for the first time in the midst of a send: it may load a library. */
	if (!conn_make_keys(c, fd) && c->session->tx.rest_len)
		linger_note(c, fd);
	conn_unpin(c);
}

/* @parcel is one of @fds. */
static void open_parcel(int parcel, const struct parcel_head *head, const int *fds, size_t n)
{
	struct arena *a = NULL;
	int err = handover_open(parcel, &a);

	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0 || fds[i] == parcel || !real_is_socket(fds[i], head->cookie))
			continue;
		if (err)
			fail_closed(fds[i], err);
		else
			unpack(fds[i], a);
	}
	if (!err)
		handover_close(a);
}

size_t arrival_sort(int *fds, size_t n)
{
	struct parcel_head head;
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		if (!parcel_is_one(fds[i], &head))
			continue;
		open_parcel(fds[i], &head, fds, n);
		fds[i] = -1;
	}
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			fds[left++] = fds[i];
	return left;
}

/* All that is open: *@fds, to be freed. */
static size_t open_fds(int **fds)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0, room = dir ? 0 : FDS_MAX;
	struct dirent *d;

	*fds = room ? malloc(room * sizeof(**fds)) : NULL;
	for (int fd = 0; !dir && *fds && fd < FDS_MAX; fd++)
		if (real.fcntl(fd, F_GETFD) >= 0)
			(*fds)[n++] = fd;
	while (dir && (d = readdir(dir))) {
		int fd = atoi(d->d_name);

		if (*d->d_name == '.' || fd == dirfd(dir))
			continue;
		if (n == room) {
			void *more = realloc(*fds, (room = 2 * room + 16) * sizeof(**fds));

			if (!more)
				break;
			*fds = more;
		}
		(*fds)[n++] = fd;
	}
	if (dir)
		closedir(dir);
	return n;
}

void arrival_init(void)
{
	int *fds;
	size_t n = open_fds(&fds);

	arrival_sort(fds, n);
	free(fds);
}
