// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The client's end: it sends in one of several ways, or asks and waits, for some time. */
#define _GNU_SOURCE
#include "ends.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define WARM_UP_NS UINT64_C(30000000)
#define EVENTS 256
#define VECTOR 1024

static const struct plan *plan;
static const struct layer *layer;
static struct meeting *meeting;
static struct end *all;
static int file, pipe_ends[2];
static unsigned char *copy; /* what a layer without the socket's calls gathers first */

/* What all connections carried, for the result. */
static uint64_t bytes, messages;

void send_all(const struct layer *by, struct end *end, const void *from, size_t n)
{
	const char *at = from;

	while (n) {
		ssize_t done = by->send(end, at, n);

		if (done < 0) {
			NEED(poll(&(struct pollfd){ end->fd, POLLOUT, 0 }, 1, -1) == 1);
			continue;
		}
		at += done;
		n -= done;
	}
}

static void by_send(struct end *end)
{
	send_all(layer, end, pattern + end->sent % PERIOD, plan->size);
}

static void by_copy(struct end *end)
{
	NEED(pread(file, copy, plan->size, end->sent % PERIOD) == (ssize_t)plan->size);
	send_all(layer, end, copy, plan->size);
}

static void by_sendfile(struct end *end)
{
	off_t at = end->sent % PERIOD;
	off_t stop = at + plan->size;

	if (!layer->is_socket) {
		by_copy(end);
		return;
	}
	while (at < stop)
		NEED(sendfile(end->fd, file, &at, stop - at) > 0);
}

/* What is in the pipe, by splice() or by who has no such thing. */
static void empty_pipe(struct end *end, ssize_t n, int flags)
{
	ssize_t done;

	for (; n; n -= done) {
		if (layer->is_socket) {
			done = splice(pipe_ends[0], NULL, end->fd, NULL, n, flags);
		} else {
			done = read(pipe_ends[0], copy, n);
			if (done > 0)
				send_all(layer, end, copy, done);
		}
		NEED(done > 0);
	}
}

/* The bytes come in a pipe. */
static void by_pipe(struct end *end)
{
	loff_t at = end->sent % PERIOD;
	loff_t stop = at + plan->size;
	ssize_t n;

	while (at < stop) {
		NEED((n = splice(file, &at, pipe_ends[1], NULL, stop - at, 0)) > 0);
		empty_pipe(end, n, at < stop ? SPLICE_F_MORE : 0);
	}
}

/* A file by way of a pipe. Who has no splice() needs no pipe either. */
static void by_splice(struct end *end)
{
	if (layer->is_socket)
		by_pipe(end);
	else
		by_copy(end);
}

/* Pieces of odd lengths at odd addresses. Who has no vectors gathers them first. */
static void by_vector(struct end *end)
{
	struct iovec vec[VECTOR];
	struct msghdr msg = { .msg_iov = vec, .msg_iovlen = VECTOR };
	size_t at = 0, piece;

	for (size_t i = 0; i < VECTOR; i++) {
		piece = i < VECTOR - 1 ? (plan->size / VECTOR - 1) | 1 : plan->size - at;
		vec[i].iov_base = (void *)(pattern + end->sent % PERIOD + at);
		vec[i].iov_len = piece;
		if (!layer->is_socket)
			memcpy(copy + at, vec[i].iov_base, piece);
		at += piece;
	}
	if (layer->is_socket)
		NEED(sendmsg(end->fd, &msg, MSG_NOSIGNAL) == (ssize_t)plan->size);
	else
		send_all(layer, end, copy, plan->size);
}

/* Byte by byte: one open record with MSG_MORE. Who has no such thing makes a record of each. */
static void by_more(struct end *end)
{
	const unsigned char *at = pattern + end->sent % PERIOD;

	for (size_t i = 0; i < plan->size; i++) {
		int more = i + 1 < plan->size ? MSG_MORE : 0;

		if (layer->is_socket)
			NEED(send(end->fd, at + i, 1, MSG_NOSIGNAL | more) == 1);
		else
			send_all(layer, end, at + i, 1);
	}
}

static const struct {
	const char *name;
	void (*send)(struct end *end);
} ways[] = {
	{ "send", by_send },     { "receive", by_send }, { "sendfile", by_sendfile },
	{ "splice", by_splice }, { "pipe", by_pipe },    { "vector", by_vector },
	{ "more", by_more },
};

/* One message on each connection in turn. The clock is looked at every 256 KiB. */
static void send_until(uint64_t until, void (*way)(struct end *))
{
	static int next;
	uint64_t stride = ((uint64_t)256 << 10) / plan->size;

	stride = stride < 1 ? 1 : stride > 256 ? 256 : stride;
	do {
		for (uint64_t i = 0; i < stride; i++) {
			struct end *end = &all[next];

			way(end);
			end->sent += plan->size;
			if (++next == plan->connections)
				next = 0;
		}
		bytes += stride * plan->size;
		messages += stride;
	} while (now_ns() < until);
}

/*
 * What the server is to read: of a raw reader the bytes that TCP sent, once those are all
 * records. The ULP may have taken a message of which the socket has not taken the end yet.
 */
static uint64_t bytes_to_read(void)
{
	uint64_t sent = 0, records = 0, wire = 0;

	for (int i = 0; i < plan->connections; i++) {
		sent += all[i].sent;
		if (plan->raw)
			wire += wire_bytes(all[i].fd) - all[i].wire_before;
		if (plan->raw && layer->records)
			records += layer->records(&all[i]);
	}
	if (!plan->raw)
		return sent;
	return wire >= sent + records * RECORD_OVERHEAD_MIN ? wire : UINT64_MAX;
}

static void wait_for_server(void)
{
	uint64_t bytes;

	while (meeting->received < (bytes = bytes_to_read()))
		usleep(1000);
	NEED(meeting->received == bytes);
}

static void send_for(struct sample *sample, pid_t server)
{
	void (*way)(struct end *) = NULL;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(ways[i].name, plan->scenario))
			way = ways[i].send;
	NEED(way);
	for (int i = 0; i < plan->connections; i++) {
		way(&all[i]);
		all[i].sent += plan->size;
		bytes += plan->size;
	}
	send_until(now_ns() + WARM_UP_NS, way);
	measure_start(sample, server, bytes, messages);
	send_until(now_ns() + plan->seconds * 1e9, way);
	wait_for_server();
	measure_stop(sample, server, bytes, messages);
}

/* Reads some of the answer; true when it is whole. */
static bool hear(struct end *end)
{
	ssize_t n = layer->recv(end, copy, plan->size - end->answered);

	NEED(n);
	if (n < 0)
		return false;
	if (plan->verify && !is_pattern(end->received, copy, n))
		meeting->wrong = true;
	end->received += n;
	end->answered += n;
	if (end->answered < plan->size)
		return false;
	end->answered = 0;
	latency_add(now_ns() - end->asked_ns);
	bytes += plan->size;
	messages++;
	return true;
}

static void ask(struct end *end)
{
	end->asked_ns = now_ns();
	by_send(end);
	end->sent += plan->size;
}

/* Sends and receives at once: a large message does not fit into the buffers on its way. */
static void ask_for_echo(struct end *end)
{
	const unsigned char *from = pattern + end->sent % PERIOD;
	size_t left = plan->size;
	ssize_t done;
	bool heard = false;

	end->asked_ns = now_ns();
	while (!heard) {
		size_t before = end->received;

		done = left ? layer->send(end, from + plan->size - left, left) : 0;
		if (done > 0)
			left -= done;
		heard = hear(end);
		if (!heard && done <= 0 && end->received == before)
			poll(&(struct pollfd){ end->fd, left ? POLLIN | POLLOUT : POLLIN, 0 }, 1,
			     -1);
	}
	end->sent += plan->size;
}

static void ask_one_until(uint64_t until)
{
	bool is_echo = !strcmp(plan->scenario, "echo");

	do {
		if (is_echo) {
			ask_for_echo(all);
			continue;
		}
		ask(all);
		while (!hear(all))
			;
	} while (now_ns() < until);
}

/* A question is always open on every connection, until the time is over. */
static void ask_all_until(int epoll, uint64_t until)
{
	struct epoll_event events[EVENTS];
	int open = plan->connections, n;

	for (int i = 0; i < plan->connections; i++)
		ask(&all[i]);
	while (open) {
		NEED((n = epoll_wait(epoll, events, EVENTS, -1)) > 0);
		for (int i = 0; i < n; i++) {
			struct end *end = events[i].data.ptr;

			if (!hear(end))
				continue;
			if (now_ns() < until)
				ask(end);
			else
				open--;
		}
	}
}

static int watch_all(void)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	NEED(epoll >= 0);
	for (int i = 0; i < plan->connections; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &all[i] };

		set_blocking(all[i].fd, false);
		NEED(!epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event));
	}
	return epoll;
}

static void ask_until(int epoll, uint64_t until)
{
	if (plan->connections > 1)
		ask_all_until(epoll, until);
	else
		ask_one_until(until);
}

static void ask_for(struct sample *sample, pid_t server)
{
	int epoll = plan->connections > 1 ? watch_all() : -1;

	if (!strcmp(plan->scenario, "echo"))
		set_blocking(all->fd, false);
	ask_until(epoll, now_ns() + WARM_UP_NS);
	measure_start(sample, server, bytes, messages);
	latency_clear();
	ask_until(epoll, now_ns() + plan->seconds * 1e9);
	measure_stop(sample, server, bytes, messages);
}

static void make_file(void)
{
	const char *directory = getenv("TMPDIR");
	char name[256];

	snprintf(name, sizeof(name), "%s/tlsulp-ends-XXXXXX", directory ? directory : "/tmp");
	NEED((file = mkostemp(name, O_CLOEXEC)) >= 0);
	unlink(name);
	NEED(write(file, pattern, PERIOD + LARGEST) == (ssize_t)(PERIOD + LARGEST));
	NEED(!pipe2(pipe_ends, O_CLOEXEC));
	NEED(fcntl(pipe_ends[1], F_SETPIPE_SZ, LARGEST) > 0);
}

void client_run(const struct plan *the_plan, const struct layer *the_layer, struct end *ends,
		struct meeting *the_meeting, struct sample *sample, pid_t server)
{
	plan = the_plan;
	layer = the_layer;
	meeting = the_meeting;
	all = ends;
	NEED(copy = malloc(LARGEST));
	memset(copy, 1, LARGEST);
	if (!strcmp(plan->scenario, "sendfile") || !strcmp(plan->scenario, "splice") ||
	    !strcmp(plan->scenario, "pipe"))
		make_file();
	if (plan->asks)
		ask_for(sample, server);
	else
		send_for(sample, server);
}
