// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A descriptor that one thread closes while another is blocked in it: each
 * story is told by plain TCP and by TLS, and must be the same.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/conn.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEN 100
#define LARGE (12u << 20)

static uint8_t text[LARGE], wire[TLS_WIRE_MAX];

enum call { RECV, PEEK, SPLICE, SEND };
enum way { CLOSE, DUP2, TWO_NUMBERS, USED_AGAIN };

struct scene {
	int fd, peer, other;
	bool tls;
	enum call call;
	pthread_t thread;
	_Atomic pid_t tid; /* of the thread, when it is about to call */
	ssize_t got;
	uint8_t bytes[LEN];
	int pipe[2];
	char log[1024];
};

static void note(struct scene *s, const char *what, ssize_t got)
{
	size_t n = strlen(s->log);

	snprintf(s->log + n, sizeof(s->log) - n, "%s=%zd ", what, got);
}

static void open_scene(struct scene *s, bool tls, enum call call)
{
	int fd[2];

	memset(s, 0, sizeof(*s));
	home_connect(fd);
	s->peer = fd[0];
	s->fd = fd[1];
	s->tls = tls;
	s->call = call;
	assert_int_equal(pipe(s->pipe), 0);
	if (!tls)
		return;
	home_attach(s->fd);
	home_set_keys(s->fd, TLSULP_TX, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 2);
	home_set_keys(s->fd, TLSULP_RX, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);
}

static void *block(void *arg)
{
	struct scene *s = arg;

	s->tid = gettid();
	switch (s->call) {
	case RECV:
		s->got = tlsulp_recv(s->fd, s->bytes, LEN, 0);
		break;
	case PEEK:
		s->got = tlsulp_recv(s->fd, s->bytes, LEN, MSG_PEEK);
		break;
	case SPLICE:
		s->got = tlsulp_splice(s->fd, NULL, s->pipe[1], NULL, LEN, 0);
		break;
	case SEND:
		s->got = tlsulp_send(s->fd, text, LARGE, MSG_NOSIGNAL);
		break;
	}
	return NULL;
}

static char state_of(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	return state;
}

/* Starts the call, and waits until it sleeps for good. */
static void start(struct scene *s)
{
	assert_int_equal(pthread_create(&s->thread, NULL, block, s), 0);
	for (int asleep = 0; asleep < 20; usleep(1000))
		asleep = s->tid && state_of(s->tid) == 'S' ? asleep + 1 : 0;
}

/* Whether the peer hears of an end: no, while the call goes on. */
static void look_for_the_end(struct scene *s)
{
	struct pollfd p = { s->peer, POLLRDHUP, 0 };

	note(s, "end", poll(&p, 1, 0) > 0);
}

static void take_away(struct scene *s, enum way way)
{
	int other;

	switch (way) {
	case CLOSE:
		note(s, "close", tlsulp_close(s->fd));
		break;
	case DUP2:
		other = open("/dev/null", O_RDWR);
		note(s, "dup2", tlsulp_dup2(other, s->fd) == s->fd);
		close(other);
		break;
	case TWO_NUMBERS:
		other = tlsulp_dup(s->fd);
		note(s, "close", tlsulp_close(s->fd));
		note(s, "close", tlsulp_close(other));
		break;
	case USED_AGAIN: /* by what is never ready, while the socket has another number */
		s->other = tlsulp_dup(s->fd);
		note(s, "close", tlsulp_close(s->fd));
		note(s, "dup2", tlsulp_dup2(s->pipe[0], s->fd) == s->fd);
		break;
	}
}

static void peer_says(struct scene *s)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);

	memset(text, 'x', LEN);
	if (s->tls)
		raw_write(s->peer, wire, record_seal(&k, 0, TLSULP_DATA, text, LEN, wire));
	else
		raw_write(s->peer, text, LEN);
}

/* Plaintext, @most of it or until the end: how much there was. */
static void peer_reads(struct scene *s, size_t most)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 2);
	static uint8_t plain[TLS_PAYLOAD_MAX];
	size_t have = 0;
	ssize_t n;

	while (have < most) {
		uint8_t type = TLSULP_DATA, byte;

		if (recv(s->peer, &byte, 1, MSG_PEEK) <= 0)
			break;
		n = s->tls ? raw_record(s->peer, &k, plain, &type)
			   : read(s->peer, plain, sizeof(plain));
		if (n <= 0 || type != TLSULP_DATA)
			break;
		assert_memory_equal(plain, text + have, n);
		have += n;
	}
	note(s, "peer", have);
}

static void tell(struct scene *s, enum way way)
{
	start(s);
	take_away(s, way);
	usleep(20000);
	look_for_the_end(s);
	if (s->call == SEND)
		peer_reads(s, way == USED_AGAIN ? LARGE : SIZE_MAX);
	else
		peer_says(s);
	pthread_join(s->thread, NULL);
	note(s, "got", s->got);
	note(s, "same", s->call == SEND || s->call == SPLICE || !memcmp(s->bytes, text, LEN));
	usleep(20000);
	look_for_the_end(s);
	close(s->peer);
	close(s->pipe[0]);
	close(s->pipe[1]);
	if (way == DUP2 || way == USED_AGAIN)
		close(s->fd);
	if (way == USED_AGAIN)
		tlsulp_close(s->other);
}

static int open_numbers(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void compare(enum call call, enum way way)
{
	struct scene tcp, tls;
	int before;

	open_scene(&tcp, false, call);
	tell(&tcp, way);
	before = open_numbers();
	open_scene(&tls, true, call);
	tell(&tls, way);
	assert_string_equal(tls.log, tcp.log);
	assert_int_equal(open_numbers(), before);
}

static void test_closed_under_recv(void **state)
{
	for (enum way way = CLOSE; way <= USED_AGAIN; way++)
		compare(RECV, way);
}

static void test_closed_under_a_peek(void **state)
{
	compare(PEEK, CLOSE);
}

static void test_closed_under_splice(void **state)
{
	compare(SPLICE, CLOSE);
}

static void test_closed_under_send(void **state)
{
	for (size_t i = 0; i < LARGE; i++)
		text[i] = i * 7 + (i >> 8);
	for (enum way way = CLOSE; way <= USED_AGAIN; way++)
		compare(SEND, way);
}

/* The number is another connection's at once: its bytes are its own. */
static void test_the_number_is_used_again(void **state)
{
	struct scene s;
	uint8_t byte;
	int other[2];

	open_scene(&s, true, RECV);
	start(&s);
	home_connect(other);
	assert_int_equal(tlsulp_dup2(other[1], s.fd), s.fd);
	raw_write(other[0], "o", 1);
	peer_says(&s);
	pthread_join(s.thread, NULL);
	assert_int_equal(s.got, LEN);
	assert_int_equal(tlsulp_recv(s.fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'o');
	tlsulp_close(s.fd);
	home_close(other);
	close(s.peer);
}

/* As between a close's system call and its return: the kernel may have given the number away. */
static void *closes_slowly(void *fd)
{
	struct lock_guard g;

	conn_unsettle(*(int *)fd, &g);
	usleep(30000);
	conn_settle(*(int *)fd, NULL, &g);
	return NULL;
}

static void test_a_new_socket_on_a_number_that_is_being_closed(void **state)
{
	pthread_t thread;
	int fd[2];

	home_connect(fd);
	assert_int_equal(pthread_create(&thread, NULL, closes_slowly, &fd[0]), 0);
	while (fdtab_get(fd[0]) != FDTAB_MOVING)
		usleep(100);
	home_attach(fd[0]);
	pthread_join(thread, NULL);
	home_close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed_under_recv),
		cmocka_unit_test(test_closed_under_a_peek),
		cmocka_unit_test(test_closed_under_splice),
		cmocka_unit_test(test_closed_under_send),
		cmocka_unit_test(test_the_number_is_used_again),
		cmocka_unit_test(test_a_new_socket_on_a_number_that_is_being_closed),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
