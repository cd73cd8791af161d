// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "ends.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

void enter_network(const char *path)
{
	int fd;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	NEED(fd >= 0);
	NEED(!setns(fd, CLONE_NEWNET));
	close(fd);
}

void stay_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	NEED(!sched_setaffinity(0, sizeof(set), &set));
}

static struct sockaddr_in address_of(const char *host, int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };

	NEED(inet_pton(AF_INET, host, &addr.sin_addr) == 1);
	return addr;
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	NEED(fd >= 0);
	return fd;
}

int listen_at(const struct plan *plan, struct meeting *meeting)
{
	struct sockaddr_in addr = address_of(plan->host, 0);
	socklen_t len = sizeof(addr);
	int fd = new_socket();

	NEED(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)) && !listen(fd, 128));
	NEED(!getsockname(fd, (struct sockaddr *)&addr, &len));
	meeting->port = ntohs(addr.sin_port);
	return fd;
}

static void no_delay(int fd)
{
	int one = 1;

	NEED(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
}

/* One byte in plaintext, so that the client never connects faster than the server accepts. */
int meet_client(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	NEED(fd >= 0 && write(fd, "!", 1) == 1);
	no_delay(fd);
	return fd;
}

int meet_server(const struct plan *plan, struct meeting *meeting)
{
	struct sockaddr_in addr = address_of(plan->host, meeting->port);
	int fd = new_socket();
	char byte;

	if (plan->sndbuf)
		NEED(!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &plan->sndbuf, sizeof(plan->sndbuf)));
	NEED(!connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	NEED(read(fd, &byte, 1) == 1);
	no_delay(fd);
	return fd;
}

void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
	NEED(!fcntl(fd, F_SETFL, flags));
}

/* No TIME_WAIT: there are fewer ports than runs. */
void reset_on_close(int fd)
{
	struct linger reset = { 1, 0 };

	NEED(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
}

/* Of one flight: one end writes it, the other reads it. */
static void fly(int fd, bool from_here, size_t n)
{
	char bytes[2048] = { 0 };

	if (from_here)
		NEED(send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
	else
		NEED(recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n);
}

/*
 * What a handshake of @tls sends to and fro, so that TCP has been through the same as where there
 * was one: it takes note of who answers at once, and from then on acknowledges half as often.
 */
void shake_hands(int fd, int tls, bool server)
{
	fly(fd, !server, 250); /* ClientHello */
	fly(fd, server, 1000); /* ServerHello, Certificate, ... */
	fly(fd, !server, 80); /* Finished */
	if (tls == 12)
		fly(fd, server, 51); /* Finished */
}
