// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Several readers of one connection, asleep and awake: each byte comes, and nobody oversleeps. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define READERS 4
#define RECORDS 3000
#define PATIENCE_S 20

static uint8_t text[TLS_PAYLOAD_MAX], wire[TLS_WIRE_MAX + 64];
static uint64_t *count; /* bytes that the readers got, in all processes */

static void read_to_end(int fd, int flags)
{
	uint8_t room[20000];
	ssize_t n;

	while ((n = tlsulp_recv(fd, room, sizeof(room), flags)) || errno == EAGAIN) {
		if (n > 0)
			__atomic_add_fetch(count, n, __ATOMIC_SEQ_CST);
		else if (n < 0 && errno != EAGAIN)
			return;
		else if (!n)
			return;
	}
}

static void *read_asleep(void *fd)
{
	read_to_end(*(int *)fd, 0);
	return NULL;
}

static void *read_awake(void *fd)
{
	struct pollfd p = { *(int *)fd, POLLIN, 0 };
	uint8_t room[20000];
	ssize_t n = 1;

	while (n && tlsulp_poll(&p, 1, -1) == 1) {
		n = tlsulp_recv(*(int *)fd, room, sizeof(room), MSG_DONTWAIT);
		if (n > 0)
			__atomic_add_fetch(count, n, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Records of very different lengths, in two pieces each. */
static uint64_t write_records(int fd, struct tls_keys *k)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < RECORDS; i++) {
		size_t len = i * 2654435761u % 3 ? 1 + i % 40 : TLS_PAYLOAD_MAX - i % 7;
		size_t n = record_seal(k, i, TLSULP_DATA, text, len, wire);
		size_t first = i * 40503u % n;

		raw_write(fd, wire, first);
		if (i % 50 == 0)
			usleep(100);
		raw_write(fd, wire + first, n - first);
		total += len;
	}
	return total;
}

static void all_arrives(uint64_t total)
{
	uint64_t got = 0;

	for (int i = 0; i < PATIENCE_S * 1000 && got < total; i++) {
		usleep(1000);
		got = __atomic_load_n(count, __ATOMIC_SEQ_CST);
	}
	assert_int_equal(got, total);
}

static void test_threads_share_a_stream(void **state)
{
	pthread_t threads[READERS];
	struct tls_keys k;
	int fd[2];

	*count = 0;
	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < READERS; i++)
		pthread_create(&threads[i], NULL, i % 2 ? read_asleep : read_awake, &fd[1]);
	all_arrives(write_records(fd[0], &k));
	close(fd[0]);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	tlsulp_close(fd[1]);
}

static void test_processes_share_a_stream(void **state)
{
	pid_t pids[READERS];
	struct tls_keys k;
	int fd[2];

	*count = 0;
	k = home_rx_pair(fd, V13, GCM);
	for (int i = 0; i < READERS; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			close(fd[0]);
			(i % 2 ? read_asleep : read_awake)(&fd[1]);
			_exit(0);
		}
	}
	all_arrives(write_records(fd[0], &k));
	close(fd[0]);
	for (int i = 0; i < READERS; i++)
		waitpid(pids[i], NULL, 0);
	tlsulp_close(fd[1]);
}

/* A record too long for half the receive buffer, and a window that closes before it is whole. */
static void test_a_closed_window_opens(void **state)
{
	int size = 2304;
	struct tls_keys k;
	pid_t writer;
	uint8_t room[20000];
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	writer = fork();
	if (!writer) {
		for (int i = 0; i < 6; i++)
			raw_write(fd[0], wire,
				  record_seal(&k, i, TLSULP_DATA, text, TLS_PAYLOAD_MAX, wire));
		_exit(0);
	}
	for (int i = 0; i < 6; i++) {
		assert_int_equal(tlsulp_recv(fd[1], room, TLS_PAYLOAD_MAX, MSG_WAITALL),
				 TLS_PAYLOAD_MAX);
		assert_memory_equal(room, text, TLS_PAYLOAD_MAX);
	}
	waitpid(writer, NULL, 0);
	home_close(fd);
}

struct sleeper {
	int fd, epfd;
	bool woken;
};

static void *sleep_in_poll(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { s->fd, POLLIN, 0 };

	s->woken = tlsulp_poll(&p, 1, PATIENCE_S * 1000) == 1;
	return NULL;
}

static void *sleep_in_epoll(void *arg)
{
	struct sleeper *s = arg;
	struct epoll_event ev;

	s->woken = tlsulp_epoll_wait(s->epfd, &ev, 1, PATIENCE_S * 1000) == 1;
	return NULL;
}

static void *sleep_in_recv(void *arg)
{
	struct sleeper *s = arg;
	char control[CMSG_SPACE(1)], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	s->woken = tlsulp_recvmsg(s->fd, &msg, 0) == 1;
	return NULL;
}

/*
 * A data record and an alert come at once. One thread reads the data, and its
 * call ends before the alert: it is there for whoever slept all the while. (The
 * data comes in two pieces: the sleeper has no reason to wake for the first.)
 */
static void alert_wakes(void *(*sleep)(void *), bool data_first)
{
	struct sleeper s = { 0 };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	pthread_t thread;
	struct tls_keys k;
	uint8_t room[20000];
	size_t n;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	n = record_seal(&k, 0, TLSULP_DATA, text, 100, wire);
	n += record_seal(&k, 1, TLSULP_ALERT, text, 2, wire + n);
	s.fd = fd[1];
	s.epfd = epoll_create1(0);
	assert_int_equal(tlsulp_epoll_ctl(s.epfd, EPOLL_CTL_ADD, fd[1], &ev), 0);
	if (data_first)
		raw_write(fd[0], wire, 50);
	pthread_create(&thread, NULL, sleep, &s);
	usleep(50000);
	raw_write(fd[0], wire + (data_first ? 50 : 0), n - (data_first ? 50 : 0));
	while (tlsulp_recv(fd[1], room, sizeof(room), MSG_DONTWAIT) > 0)
		;
	pthread_join(thread, NULL);
	assert_true(s.woken);
	tlsulp_close(s.epfd);
	home_close(fd);
}

static void test_a_sleeper_hears_of_the_alert(void **state)
{
	for (int i = 0; i < 20; i++) {
		alert_wakes(sleep_in_poll, i % 2);
		alert_wakes(sleep_in_epoll, i % 2);
		alert_wakes(sleep_in_recv, i % 2);
	}
}

/* A reader asleep that a handler interrupts; its call goes on (SA_RESTART) when it is told to. */
static struct restarted {
	int fd;
	int in_handler, go_on; /* atomic */
	ssize_t got;
} restarted;

static void stay_in_handler(int sig)
{
	__atomic_store_n(&restarted.in_handler, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&restarted.go_on, __ATOMIC_SEQ_CST))
		;
}

static void *read_restarted(void *arg)
{
	static uint8_t room[20000];

	restarted.got = tlsulp_recv(restarted.fd, room, sizeof(room), 0);
	return NULL;
}

static pthread_t start_restarted(int fd)
{
	struct sigaction act = { .sa_handler = stay_in_handler, .sa_flags = SA_RESTART };
	pthread_t thread;

	sigaction(SIGUSR1, &act, NULL);
	restarted = (struct restarted){ .fd = fd };
	pthread_create(&thread, NULL, read_restarted, NULL);
	usleep(50000);
	pthread_kill(thread, SIGUSR1);
	while (!__atomic_load_n(&restarted.in_handler, __ATOMIC_SEQ_CST))
		usleep(1000);
	return thread;
}

static void let_go_on(void)
{
	__atomic_store_n(&restarted.go_on, 1, __ATOMIC_SEQ_CST);
	usleep(50000);
}

static void join_within_patience(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(pthread_timedjoin_np(thread, NULL, &until), 0);
}

/* SO_RCVLOWAT may be high while another reader has a part of a large record; a small one follows.
 */
static void test_a_sleeper_is_not_held_to_anothers_mark(void **state)
{
	struct tls_keys k;
	pthread_t thread;
	uint8_t room[100];
	size_t first, n;
	int fd[2];

	skip_if_signals_are_late();
	k = home_rx_pair(fd, V13, GCM);
	first = record_seal(&k, 0, TLSULP_DATA, text, 3000, wire);
	n = first + record_seal(&k, 1, TLSULP_DATA, text, 100, wire + first);
	thread = start_restarted(fd[1]);
	raw_write(fd[0], wire, 500);
	assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), MSG_DONTWAIT), -1);
	let_go_on();
	raw_write(fd[0], wire + 500, first - 501);
	assert_int_equal(tlsulp_recv(fd[1], room, sizeof(room), MSG_DONTWAIT), -1);
	raw_write(fd[0], wire + first - 1, n - first + 1);
	join_within_patience(thread);
	assert_in_range(restarted.got, 3000, 3100);
	home_close(fd);
}

/* What it looked at then is the queue of the connection that has its number by now. */
static void test_a_look_at_another_connection_is_forgotten(void **state)
{
	int x[2], y[2], number;
	uint8_t room[TLS_PAYLOAD_MAX];
	pthread_t thread;

	skip_if_signals_are_late();
	home_tx_pair(x, V13, GCM, true);
	home_tx_pair(y, V13, GCM, true);
	assert_int_equal(tlsulp_send(x[0], text, sizeof(room), 0), sizeof(room));
	assert_int_equal(tlsulp_recv(x[1], room, sizeof(room), MSG_WAITALL), sizeof(room));
	assert_int_equal(tlsulp_send(y[0], text, 5000, 0), 5000);
	number = x[1];
	thread = start_restarted(number);
	tlsulp_close(number);
	assert_int_equal(tlsulp_dup2(y[1], number), number);
	assert_int_equal(tlsulp_send(x[0], text, 10000, 0), 10000);
	let_go_on();
	join_within_patience(thread);
	assert_int_equal(restarted.got, 10000);
	assert_int_equal(tlsulp_recv(number, room, sizeof(room), 0), 5000);
	tlsulp_close(number);
	tlsulp_close(x[0]);
	home_close(y);
}

static int setup(void **state)
{
	home_start();
	fill_pattern(text, sizeof(text), 3);
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	return count == MAP_FAILED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_share_a_stream),
		cmocka_unit_test(test_processes_share_a_stream),
		cmocka_unit_test(test_a_closed_window_opens),
		cmocka_unit_test(test_a_sleeper_hears_of_the_alert),
		cmocka_unit_test(test_a_sleeper_is_not_held_to_anothers_mark),
		cmocka_unit_test(test_a_look_at_another_connection_is_forgotten),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
