// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a process may put into a parcel that it hands over: the receiver neither hangs
 * nor crashes, and nothing of the session is used.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/calls.h"
#include "user/conn.h"
#include "user/handover.h"
#include "user/parcel.h"
#include "user/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define WATCHDOG 110

/* What the receiver says of the socket that came. */
enum verdict { GOOD = 1, REFUSED, NOTHING_CAME };

struct receiver {
	pid_t pid;
	int unix_fd, verdict_fd;
};

static int receiver_room = -1; /* how many more descriptors it may have; -1: enough */

static void limit_descriptors(int room)
{
	struct rlimit limit;
	int next = 0, last = 0;

	for (int fd = 0; fd < 256; fd++)
		last = fcntl(fd, F_GETFD) < 0 ? last : fd;
	while (next < last) /* no gaps */
		next = dup(0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = next + room;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int take_socket(int unix_fd)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (call_plain_recvmsg(unix_fd, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg) &&
	    CMSG_FIRSTHDR(&msg)->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void receive_one(int unix_fd, int verdict_fd)
{
	char verdict = NOTHING_CAME;
	int fd;

	if (receiver_room >= 0)
		limit_descriptors(receiver_room);
	fd = take_socket(unix_fd);

	if (fd >= 0)
		verdict = tlsulp_send(fd, "secret", 6, MSG_NOSIGNAL) == 6 ? GOOD : REFUSED;
	tlsulp_close(fd);
	_exit(write(verdict_fd, &verdict, 1) != 1);
}

/* Forked before there is a session: it gets none by the fork. */
static struct receiver start_receiver(void)
{
	struct receiver r;
	int pair[2], verdict[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(verdict), 0);
	r.pid = fork();
	if (!r.pid) {
		close(pair[0]);
		receive_one(pair[1], verdict[1]);
	}
	close(pair[1]);
	close(verdict[1]);
	r.unix_fd = pair[0];
	r.verdict_fd = verdict[0];
	return r;
}

/* As a process without this library would: the descriptors, and nothing else. */
static void hand_over(struct receiver *r, int fd, int parcel)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fds[2] = { fd, parcel };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	assert_int_equal(syscall(SYS_sendmsg, r->unix_fd, &msg, 0), 1);
}

static enum verdict verdict_of(struct receiver *r)
{
	char verdict;
	int status;

	if (read(r->verdict_fd, &verdict, 1) != 1)
		verdict = 0;
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	if (status)
		fail_msg("the receiver ended with status %#x", status);
	close(r->unix_fd);
	close(r->verdict_fd);
	return verdict;
}

/* A parcel that is a copy of the session's, and the copy's places. */
struct copy {
	int fd;
	off_t size;
	uint8_t *bytes;
	struct session *session;
	struct lock *head;
};

static struct copy copy_parcel(struct conn *c)
{
	struct copy copy = { .fd = memfd_create("tlsulp", MFD_CLOEXEC | MFD_ALLOW_SEALING) };
	int parcel = parcel_fd(arena_parcel(c->arena));

	copy.size = lseek(parcel, 0, SEEK_END);
	assert_int_equal(ftruncate(copy.fd, copy.size), 0);
	copy.bytes = mmap(NULL, copy.size, PROT_READ | PROT_WRITE, MAP_SHARED, copy.fd, 0);
	assert_true(copy.bytes != MAP_FAILED);
	assert_int_equal(pread(parcel, copy.bytes, copy.size, 0), copy.size);
	assert_int_equal(fcntl(copy.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	copy.head = (struct lock *)(copy.bytes + sizeof(struct parcel_head));
	copy.session = memmem(copy.bytes, copy.size, c->session, sizeof(*c->session));
	assert_non_null(copy.session);
	return copy;
}

static bool has_key(const struct session *s)
{
	struct tls_keys k = keys_seeded(V13, GCM, 1);

	return !memcmp(s->tx.engine.keys.key, k.key, 16);
}

/* A session, and the copy that a receiver is going to get. */
struct offer {
	struct receiver receiver;
	struct conn *conn;
	struct copy copy;
	int fd[2];
};

static void make_offer(struct offer *o)
{
	o->receiver = start_receiver();
	home_tx_pair(o->fd, V13, GCM, false);
	o->conn = conn_pin(o->fd[0]);
	assert_int_equal(handover_pack(o->conn), 0);
	o->copy = copy_parcel(o->conn);
}

static void send_offer(struct offer *o)
{
	hand_over(&o->receiver, o->fd[0], o->copy.fd);
}

/* By the library: the socket's own session goes along. */
static void send_as_library(struct offer *o)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &o->fd[0], sizeof(int));
	assert_int_equal(tlsulp_sendmsg(o->receiver.unix_fd, &msg, 0), 1);
}

static void end_offer(struct offer *o)
{
	munmap(o->copy.bytes, o->copy.size);
	close(o->copy.fd);
	conn_unpin(o->conn);
	home_close(o->fd);
}

static void expect_refused(struct offer *o, const char *what)
{
	char byte;

	if (verdict_of(&o->receiver) != REFUSED)
		fail_msg("%s: the session was used", what);
	if (recv(o->fd[1], &byte, 1, MSG_DONTWAIT))
		fail_msg("%s: the connection was not shut down", what);
}

static void test_an_honest_parcel_is_taken(void **state)
{
	struct tls_keys k = keys_seeded(V13, GCM, 1);
	uint8_t plain[100], type;
	struct offer o;

	make_offer(&o);
	send_offer(&o);
	assert_int_equal(verdict_of(&o.receiver), GOOD);
	assert_int_equal(raw_record(o.fd[1], &k, plain, &type), 6);
	end_offer(&o);
}

#define LOCKS 3

static struct lock *lock_of(struct copy *copy, int which)
{
	struct lock *locks[LOCKS] = { copy->head, &copy->session->tx_lock,
				      &copy->session->rx_lock };

	return locks[which];
}

/* A lock that somebody has for ever: the sender (who holds the session), the receiver, init. */
static void test_a_lock_that_is_never_dropped_stops_nobody(void **state)
{
	static const char *const owners[] = { "the sender", "the receiver", "init" };
	struct offer o[LOCKS][ARRAY_SIZE(owners)];

	for (int which = 0; which < LOCKS; which++)
		for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
			struct offer *x = &o[which][i];

			make_offer(x);
			lock_of(&x->copy, which)->word = i == 0   ? getpid()
							 : i == 1 ? x->receiver.pid
								  : 1;
		}
	for (int which = 0; which < LOCKS; which++)
		for (size_t i = 0; i < ARRAY_SIZE(owners); i++)
			send_offer(&o[which][i]);
	for (int which = 0; which < LOCKS; which++)
		for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
			expect_refused(&o[which][i], owners[i]);
			if (which)
				assert_false(has_key(o[which][i].copy.session));
			end_offer(&o[which][i]);
		}
}

/* Somebody who writes the word all the time does not keep anybody either. */
static void test_a_lock_that_changes_hands_for_ever_stops_nobody(void **state)
{
	struct offer o;
	struct lock *l;

	make_offer(&o);
	l = lock_of(&o.copy, 1);
	l->word = 1;
	send_offer(&o);
	for (struct pollfd p = { o.receiver.verdict_fd, POLLIN, 0 }; !poll(&p, 1, 0);)
		__atomic_store_n(&l->word, l->word == 1 ? getpid() : 1, __ATOMIC_RELAXED);
	expect_refused(&o, "two owners");
	end_offer(&o);
}

/* The other process that has the session is in the midst of a change, for a second. */
static void test_an_honest_holder_is_waited_for(void **state)
{
	for (int which = 0; which < LOCKS; which++) {
		struct tls_keys k = keys_seeded(V13, GCM, 1);
		uint8_t plain[100], type;
		struct offer o;

		make_offer(&o);
		lock_take(lock_of(&o.copy, which));
		send_offer(&o);
		usleep(1000000);
		lock_drop(lock_of(&o.copy, which));
		assert_int_equal(verdict_of(&o.receiver), GOOD);
		assert_int_equal(raw_record(o.fd[1], &k, plain, &type), 6);
		end_offer(&o);
	}
}

/* The owner died, and a thread of a process that has nothing to do with it got its number. */
static void test_a_lock_is_not_a_strangers(void **state)
{
	int fd[2];
	struct conn *c;

	home_tx_pair(fd, V13, GCM, false);
	c = conn_pin(fd[0]);
	c->session->tx_lock.word = 1;
	assert_int_equal(tlsulp_send(fd[0], "secret", 6, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EBADMSG);
	conn_unpin(c);
	home_close(fd);
}

/* No holder but the receiver, which frees what it refuses. */
static void test_buffers_that_cannot_be_are_not_touched(void **state)
{
	struct offer o;

	make_offer(&o);
	memset(o.copy.session->holders, 0, sizeof(o.copy.session->holders));
	o.copy.session->tx.open_buffer = 1u << 30;
	o.copy.session->tx.rest_buffer = 1u << 31;
	o.copy.session->rx.buffer = UINT32_MAX;
	send_offer(&o);
	expect_refused(&o, "buffers");
	end_offer(&o);
}

/*
 * A receiver that has too few numbers left gets a part of the descriptors: never a
 * socket without its session, which would carry plaintext.
 */
static void test_a_socket_never_comes_without_its_session(void **state)
{
	static const enum verdict wanted[] = { NOTHING_CAME, NOTHING_CAME, REFUSED, GOOD };

	for (size_t room = 0; room < ARRAY_SIZE(wanted); room++) {
		uint8_t bytes[100];
		struct offer o;
		ssize_t n;

		receiver_room = room;
		make_offer(&o);
		receiver_room = -1;
		send_as_library(&o);
		assert_int_equal(verdict_of(&o.receiver), wanted[room]);
		tlsulp_close(o.fd[0]);
		n = recv(o.fd[1], bytes, sizeof(bytes), MSG_DONTWAIT);
		assert_null(n > 0 ? memmem(bytes, n, "secret", 6) : NULL);
		end_offer(&o);
	}
}

static void on_watchdog(int sig)
{
	_exit(sig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_honest_parcel_is_taken),
		cmocka_unit_test(test_a_lock_that_is_never_dropped_stops_nobody),
		cmocka_unit_test(test_a_lock_that_changes_hands_for_ever_stops_nobody),
		cmocka_unit_test(test_an_honest_holder_is_waited_for),
		cmocka_unit_test(test_a_lock_is_not_a_strangers),
		cmocka_unit_test(test_a_socket_never_comes_without_its_session),
		cmocka_unit_test(test_buffers_that_cannot_be_are_not_touched),
	};

	home_start();
	signal(SIGALRM, on_watchdog);
	alarm(WATCHDOG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
