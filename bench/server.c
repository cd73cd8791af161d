// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The server's end: it reads everything, or answers each message, until the client's end. */
#define _GNU_SOURCE
#include "ends.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <string.h>

#define RAW_BUFFER ((size_t)256 << 10)
#define EVENTS 256

static const struct plan *plan;
static const struct layer *layer;
static struct meeting *meeting;
static unsigned char *buffer;
static size_t buffer_size;

static ssize_t read_some(struct end *end, size_t most)
{
	ssize_t n = layer->recv(end, buffer, most);

	if (n <= 0)
		return n;
	if (plan->verify && !is_pattern(end->received, buffer, n))
		meeting->wrong = true;
	end->received += n;
	/* There is one writer: no need of a locked addition. */
	atomic_store_explicit(&meeting->received,
			      atomic_load_explicit(&meeting->received, memory_order_relaxed) + n,
			      memory_order_relaxed);
	return n;
}

/* One message's worth, and what the layer keeps of the socket's bytes. The answer: 0 at the end. */
static ssize_t sink(struct end *end)
{
	size_t total = 0;
	ssize_t n;

	do {
		n = read_some(end, buffer_size);
		if (n > 0)
			total += n;
	} while (n > 0 &&
		 (total < buffer_size || (layer->pending && !plan->raw && layer->pending(end))));
	if (plan->pause_us)
		usleep(plan->pause_us);
	return n;
}

/* The answer to a message is the message. */
static ssize_t answer(struct end *end)
{
	ssize_t n;

	do {
		n = read_some(end, plan->size - end->answered);
		if (n <= 0)
			return n;
		end->answered += n;
		if (end->answered == plan->size) {
			send_all(layer, end, pattern + end->sent % PERIOD, plan->size);
			end->sent += plan->size;
			end->answered = 0;
		}
	} while (layer->pending && layer->pending(end));
	return n;
}

static void echo_with_splice(int fd)
{
	ssize_t n, done;
	int ends[2];

	NEED(!pipe2(ends, O_CLOEXEC));
	while ((n = splice(fd, NULL, ends[1], NULL, LARGEST, 0)) > 0)
		for (; n; n -= done)
			NEED((done = splice(ends[0], NULL, fd, NULL, n, 0)) > 0);
	NEED(!n);
}

static void echo(struct end *end)
{
	ssize_t n;

	if (layer->is_socket) {
		echo_with_splice(end->fd);
		return;
	}
	while ((n = layer->recv(end, buffer, buffer_size)) > 0)
		send_all(layer, end, buffer, n);
}

static void serve_all(struct end *ends, ssize_t (*serve)(struct end *))
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), left = plan->connections, n;

	NEED(epoll >= 0);
	for (int i = 0; i < plan->connections; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &ends[i] };

		set_blocking(ends[i].fd, false);
		NEED(!epoll_ctl(epoll, EPOLL_CTL_ADD, ends[i].fd, &event));
	}
	while (left) {
		NEED((n = epoll_wait(epoll, events, EVENTS, -1)) > 0);
		for (int i = 0; i < n; i++) {
			struct end *end = events[i].data.ptr;

			if (serve(end))
				continue;
			NEED(!epoll_ctl(epoll, EPOLL_CTL_DEL, end->fd, NULL));
			left--;
		}
	}
}

void server_run(const struct plan *the_plan, const struct layer *the_layer, struct end *ends,
		struct meeting *the_meeting)
{
	plan = the_plan;
	layer = plan->raw ? &layer_tcp : the_layer;
	meeting = the_meeting;
	buffer_size = plan->raw ? RAW_BUFFER : plan->size;
	NEED(buffer = malloc(buffer_size));
	memset(buffer, 1, buffer_size);
	if (!strcmp(plan->scenario, "echo"))
		echo(ends);
	else if (plan->connections > 1)
		serve_all(ends, plan->asks ? answer : sink);
	else
		while ((plan->asks ? answer : sink)(ends))
			;
}
