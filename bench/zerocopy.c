// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Plain TCP with MSG_ZEROCOPY (Documentation/networking/msg_zerocopy.rst): what a record layer
 * could gain by it at the most. Who reuses the memory at once, as this does with what is only
 * measured, would have to wait for the kernel's word first; that word is read here, too.
 */
#include "ends.h"
#include <errno.h>
#include <sys/socket.h>

#define WORDS_EVERY 16 /* sends */

static void zerocopy_prepare(const struct plan *plan, bool server)
{
}

static void zerocopy_open(const struct plan *plan, struct end *end, bool server)
{
	int one = 1;

	shake_hands(end->fd, plan->tls, server);
	if (!server)
		NEED(!setsockopt(end->fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
}

static void read_words(int fd)
{
	char control[128];
	struct msghdr msg;

	do {
		msg = (struct msghdr){ .msg_control = control, .msg_controllen = sizeof(control) };
	} while (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0);
}

static ssize_t zerocopy_send(struct end *end, const void *from, size_t n)
{
	static unsigned int sends;
	ssize_t done = send(end->fd, from, n, MSG_NOSIGNAL | MSG_ZEROCOPY);

	if (done < 0 && errno == ENOBUFS) { /* too many words wait */
		read_words(end->fd);
		done = send(end->fd, from, n, MSG_NOSIGNAL);
	}
	if (!(++sends % WORDS_EVERY))
		read_words(end->fd);
	NEED(done >= 0 || errno == EAGAIN);
	return done;
}

static const char *zerocopy_version(void)
{
	return "Linux TCP, MSG_ZEROCOPY";
}

static ssize_t zerocopy_recv(struct end *end, void *into, size_t n)
{
	return layer_tcp.recv(end, into, n);
}

const struct layer layer_zerocopy = {
	.name = "zerocopy",
	.prepare = zerocopy_prepare,
	.open = zerocopy_open,
	.send = zerocopy_send,
	.recv = zerocopy_recv,
	.version = zerocopy_version,
};
