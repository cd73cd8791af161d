// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Bad pointers in recvmsg() and recvmmsg() on sockets that may bring descriptors: each call
 * is made twice, to the kernel and through this library, on scenes that are the same, and
 * all that the program can see of it must be the same too.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define SENT 3 /* descriptors in a message */

/* Two pages that may be touched, and one that may not: bytes up to @end are good. */
static uint8_t *good, *end;
/* One that may be read, and not written. */
static uint8_t *read_only;

enum where { GOOD, NOWHERE, BAD, CUT, READ_ONLY };

struct scene {
	const char *what;
	enum where header, iov, base, name, control;
	size_t cut; /* so many bytes before the bad page: of what is CUT */
	size_t controllen;
	int iovlen;
	bool creds;
	socklen_t namelen;
};

#define ROOM 256
static const struct scene scenes[] = {
	{ "all is good", .controllen = ROOM },
	{ "much room", .controllen = 4000 },
	{ "no header", NOWHERE, .controllen = ROOM },
	{ "bad header", BAD, .controllen = ROOM },
	{ "header cut", CUT, .cut = 40, .controllen = ROOM },
	{ "header cut in its last word", CUT, .cut = sizeof(struct msghdr) - 8,
	  .controllen = ROOM },
	{ "header that is read only", READ_ONLY, .controllen = ROOM },
	{ "no vector", .iov = NOWHERE, .controllen = ROOM },
	{ "bad vector", .iov = BAD, .controllen = ROOM },
	{ "vector cut", .iov = CUT, .cut = 8, .controllen = ROOM },
	{ "no vector, and none said", .iov = NOWHERE, .controllen = ROOM, .iovlen = -1 },
	{ "too long a vector", .controllen = ROOM, .iovlen = 1025 },
	{ "no buffer", .base = NOWHERE, .controllen = ROOM },
	{ "bad buffer", .base = BAD, .controllen = ROOM },
	{ "buffer that is read only", .base = READ_ONLY, .controllen = ROOM },
	{ "bad name", .name = BAD, .controllen = ROOM, .namelen = 16 },
	{ "bad name of no length", .name = BAD, .controllen = ROOM },
	{ "name of negative length", .controllen = ROOM, .namelen = -1 },
	{ "no control", .control = NOWHERE, .controllen = ROOM },
	{ "bad control", .control = BAD, .controllen = ROOM },
	{ "bad control, credentials", .control = BAD, .controllen = ROOM, .creds = true },
	{ "bad control, much room", .control = BAD, .controllen = 4000 },
	{ "control that is read only", .control = READ_ONLY, .controllen = ROOM },
	{ "control that is read only, much room", .control = READ_ONLY, .controllen = 4000 },
	{ "control cut in its header", .control = CUT, .cut = 8, .controllen = ROOM },
	{ "control cut after its header", .control = CUT, .cut = 16, .controllen = ROOM },
	{ "control cut after a descriptor", .control = CUT, .cut = 20, .controllen = ROOM },
	{ "control cut in a descriptor", .control = CUT, .cut = 22, .controllen = ROOM },
	{ "control cut after two", .control = CUT, .cut = 24, .controllen = ROOM },
	{ "control cut after two, much room", .control = CUT, .cut = 24, .controllen = 4000 },
	{ "control cut after all", .control = CUT, .cut = 28, .controllen = ROOM },
	{ "cut after credentials", .control = CUT, .cut = 32, .controllen = ROOM, .creds = true },
	{ "cut in them", .control = CUT, .cut = 20, .controllen = ROOM, .creds = true },
	{ "cut in the rights after them", .control = CUT, .cut = 56, .controllen = ROOM,
	  .creds = true },
	{ "the same, much room", .control = CUT, .cut = 56, .controllen = 4000, .creds = true },
	{ "room for two", .controllen = 24 },
	{ "room for none", .controllen = 19 },
	{ "room for a header", .controllen = 16 },
	{ "room for less", .controllen = 15 },
	{ "no room", .controllen = 0 },
	{ "bad control, room for two", .control = BAD, .controllen = 24 },
	{ "bad control, no room", .control = BAD, .controllen = 0 },
	{ "credentials, room for a part of the rights", .controllen = 48, .creds = true },
	{ "credentials, room for a part of them", .controllen = 20, .creds = true },
	{ "more room than there is memory", .control = CUT, .cut = 600,
	  .controllen = SIZE_MAX / 2 },
};

/* Everything that the program can see of a call, as text. */
struct seen {
	char text[2048];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void note(struct seen *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	s->n += vsnprintf(s->text + s->n, sizeof(s->text) - s->n, format, args);
	va_end(args);
	assert_true(s->n < sizeof(s->text));
}

/* Where an object of @size bytes lies; @at: of its own in the good pages. */
static void *place(enum where where, size_t at, size_t cut)
{
	switch (where) {
	case GOOD:
		return good + at;
	case NOWHERE:
		return NULL;
	case BAD:
		return end + at;
	case CUT:
		return end - cut;
	default:
		return read_only + at;
	}
}

enum { AT_HEADER = 0, AT_IOV = 256, AT_BASE = 512, AT_NAME = 768, AT_CONTROL = 1024 };

static size_t open_numbers(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 128; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void send_descriptors(int fd)
{
	union {
		char bytes[CMSG_SPACE(SENT * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "hello", 5 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fds[SENT] = { 0, 1, 2 };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	assert_int_equal(sendmsg(fd, &msg, 0), 5);
}

/* The header as the scene has it; where it cannot be written to, there is no telling. */
static void build(const struct scene *s, struct msghdr *msg)
{
	struct iovec *iov = place(s->iov, AT_IOV, s->cut);
	struct msghdr m = {
		.msg_name = s->namelen || s->name ? place(s->name, AT_NAME, s->cut) : NULL,
		.msg_namelen = s->namelen,
		.msg_iov = iov,
		.msg_iovlen = s->iovlen < 0 ? 0
			      : s->iovlen   ? s->iovlen
					    : 1,
		.msg_control = place(s->control, AT_CONTROL, s->cut),
		.msg_controllen = s->controllen,
	};

	if (s->iov == GOOD)
		*iov = (struct iovec){ place(s->base, AT_BASE, s->cut), 100 };
	*msg = m;
}

static void prepare(const struct scene *s)
{
	struct msghdr msg;

	assert_int_equal(mprotect(read_only, PAGE, PROT_READ | PROT_WRITE), 0);
	memset(good, 0, end - good);
	memset(read_only, 0, PAGE);
	build(s, &msg);
	if (s->header == GOOD || s->header == READ_ONLY)
		memcpy(place(s->header, AT_HEADER, 0), &msg, sizeof(msg));
	else if (s->header == CUT)
		memcpy(end - s->cut, &msg, s->cut);
	assert_int_equal(mprotect(read_only, PAGE, PROT_READ), 0);
}

/* Each control message; descriptors by what they are and not by their numbers. */
static void note_control(struct seen *seen, struct msghdr *msg)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(msg); m; m = CMSG_NXTHDR(msg, m)) {
		size_t n = m->cmsg_len - CMSG_LEN(0);

		note(seen, " [%d %d %zu]", m->cmsg_level, m->cmsg_type, (size_t)m->cmsg_len);
		if (m->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i + sizeof(int) <= n; i += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(m) + i, sizeof(fd));
			note(seen, " %s", fcntl(fd, F_GETFD) < 0 ? "closed" : "open");
		}
	}
}

typedef ssize_t (*recvmsg_call)(int fd, struct msghdr *msg, int flags);

static ssize_t kernel_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return syscall(SYS_recvmsg, fd, msg, flags);
}

static void close_from(int first)
{
	for (int fd = first; fd < 128; fd++)
		close(fd);
}

static void see(const struct scene *s, int type, int flags, recvmsg_call call, struct seen *seen)
{
	struct msghdr *msg = place(s->header, AT_HEADER, s->cut);
	int pair[2], one = 1;
	size_t before;
	ssize_t got;
	char rest[100];

	assert_int_equal(socketpair(AF_UNIX, type, 0, pair), 0);
	if (s->creds)
		assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)),
				 0);
	send_descriptors(pair[0]);
	prepare(s);
	before = open_numbers();
	errno = 0;
	got = call(pair[1], msg, flags);
	note(seen, "%zd %d", got, got < 0 ? errno : 0);
	note(seen, ", %zu more numbers", open_numbers() - before);
	if (s->header == GOOD || s->header == READ_ONLY)
		note(seen, ", flags %#x, name %d, room %zu", msg->msg_flags, (int)msg->msg_namelen,
		     msg->msg_controllen);
	if (s->header == GOOD && got >= 0 && s->control == GOOD)
		note_control(seen, msg);
	note(seen, ", text %.5s", good + AT_BASE);
	note(seen, ", left %zd", recv(pair[1], rest, sizeof(rest), MSG_DONTWAIT));
	close_from(pair[0]);
}

static void compare(const struct scene *s, int type, int flags)
{
	struct seen kernel = { 0 }, ours = { 0 };

	see(s, type, flags, kernel_recvmsg, &kernel);
	see(s, type, flags, call_plain_recvmsg, &ours);
	if (strcmp(kernel.text, ours.text))
		fail_msg("%s, type %d, flags %#x:\nkernel: %s\nours:   %s", s->what, type, flags,
			 kernel.text, ours.text);
}

static void test_recvmsg_is_as_the_kernels(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		for (size_t type = 0; type < ARRAY_SIZE(types); type++) {
			compare(&scenes[i], types[type], 0);
			compare(&scenes[i], types[type], MSG_PEEK);
			compare(&scenes[i], types[type], MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		}
}

/* Datagrams with their times, which are control messages too. */
static void see_udp(const struct scene *s, recvmsg_call call, struct seen *seen)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	struct msghdr *msg = place(s->header, AT_HEADER, s->cut);
	socklen_t len = sizeof(addr);
	ssize_t got;

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)), 0);
	assert_int_equal(sendto(fd, "hello", 5, 0, (struct sockaddr *)&addr, len), 5);
	prepare(s);
	errno = 0;
	got = call(fd, msg, 0);
	note(seen, "%zd %d", got, got < 0 ? errno : 0);
	if (s->header == GOOD)
		note(seen, ", flags %#x, name %d, room %zu", msg->msg_flags, (int)msg->msg_namelen,
		     msg->msg_controllen);
	note(seen, ", left %zd", recv(fd, good, 10, MSG_DONTWAIT));
	close(fd);
}

static void test_udp_is_as_the_kernels(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
		struct seen kernel = { 0 }, ours = { 0 };

		see_udp(&scenes[i], kernel_recvmsg, &kernel);
		see_udp(&scenes[i], call_plain_recvmsg, &ours);
		if (strcmp(kernel.text, ours.text))
			fail_msg("%s:\nkernel: %s\nours:   %s", scenes[i].what, kernel.text,
				 ours.text);
	}
}

/* ---- recvmmsg ---- */

typedef int (*recvmmsg_call)(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			     struct timespec *timeout);

static int kernel_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			   struct timespec *timeout)
{
	return syscall(SYS_recvmmsg, fd, msgs, n, flags, timeout);
}

static const struct many {
	const char *what;
	enum where msgs, timeout;
	size_t cut;
	long nsec;
	unsigned int n;
} manys[] = {
	{ "all is good", GOOD, NOWHERE, .n = 1 },
	{ "none asked for", GOOD, NOWHERE, .n = 0 },
	{ "none asked for, of nowhere", BAD, NOWHERE, .n = 0 },
	{ "no headers", NOWHERE, NOWHERE, .n = 1 },
	{ "bad headers", BAD, NOWHERE, .n = 1 },
	{ "header cut", CUT, NOWHERE, .cut = 40, .n = 1 },
	{ "header cut before its length", CUT, NOWHERE, .cut = sizeof(struct msghdr), .n = 1 },
	{ "headers that are read only", READ_ONLY, NOWHERE, .n = 1 },
	{ "good timeout", GOOD, GOOD, .n = 1 },
	{ "bad timeout", GOOD, BAD, .n = 1 },
	{ "timeout that cannot be", GOOD, GOOD, .nsec = 2000000000, .n = 1 },
	{ "negative timeout", GOOD, GOOD, .nsec = -1, .n = 1 },
};

static void see_many(const struct many *m, recvmmsg_call call, struct seen *seen)
{
	static const struct scene plain = { "", .controllen = ROOM };
	struct timespec *timeout = place(m->timeout, AT_NAME, 0);
	struct mmsghdr msgs = { 0 }, *at = place(m->msgs, AT_HEADER, m->cut);
	int pair[2], got;
	size_t before;
	char rest[100];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	send_descriptors(pair[0]);
	prepare(&plain);
	build(&plain, &msgs.msg_hdr);
	if (m->msgs == GOOD)
		memcpy(at, &msgs, sizeof(msgs));
	else if (m->msgs == CUT)
		memcpy(at, &msgs, m->cut);
	assert_int_equal(mprotect(read_only, PAGE, PROT_READ | PROT_WRITE), 0);
	memcpy(read_only, &msgs, sizeof(msgs));
	assert_int_equal(mprotect(read_only, PAGE, PROT_READ), 0);
	if (m->timeout == GOOD)
		*timeout = (struct timespec){ 1, m->nsec };
	before = open_numbers();
	errno = 0;
	got = call(pair[1], at, m->n, MSG_DONTWAIT, timeout);
	note(seen, "%d %d, %zu more numbers", got, got < 0 ? errno : 0, open_numbers() - before);
	if (m->msgs == GOOD)
		note(seen, ", length %u, flags %#x, room %zu", at->msg_len, at->msg_hdr.msg_flags,
		     at->msg_hdr.msg_controllen);
	note(seen, ", left %zd", recv(pair[1], rest, sizeof(rest), MSG_DONTWAIT));
	close_from(pair[0]);
}

static void test_recvmmsg_is_as_the_kernels(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(manys); i++) {
		struct seen kernel = { 0 }, ours = { 0 };

		see_many(&manys[i], kernel_recvmmsg, &kernel);
		see_many(&manys[i], call_plain_recvmmsg, &ours);
		if (strcmp(kernel.text, ours.text))
			fail_msg("%s:\nkernel: %s\nours:   %s", manys[i].what, kernel.text,
				 ours.text);
	}
}

/* A TLS socket's own recvmsg: what the kernel does with plain TCP. */
static void test_a_tls_sockets_header_that_is_read_only(void **state)
{
	static const struct scene s = { "", READ_ONLY, .controllen = ROOM };
	int fd[2], plain[2];

	home_connect(plain);
	home_tx_pair(fd, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, true);
	assert_int_equal(send(plain[0], "hello", 5, 0), 5);
	assert_int_equal(tlsulp_send(fd[0], "hello", 5, 0), 5);
	prepare(&s);
	errno = 0;
	assert_int_equal(kernel_recvmsg(plain[1], (void *)read_only, 0), -1);
	assert_int_equal(errno, EFAULT);
	errno = 0;
	assert_int_equal(tlsulp_recvmsg(fd[1], (void *)read_only, 0), -1);
	assert_int_equal(errno, EFAULT);
	home_close(plain);
	home_close(fd);
}

static int setup(void **state)
{
	home_start();
	good = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (good == MAP_FAILED || read_only == MAP_FAILED)
		return -1;
	end = good + 2 * PAGE;
	return mprotect(end, PAGE, PROT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recvmsg_is_as_the_kernels),
		cmocka_unit_test(test_recvmmsg_is_as_the_kernels),
		cmocka_unit_test(test_udp_is_as_the_kernels),
		cmocka_unit_test(test_a_tls_sockets_header_that_is_read_only),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
