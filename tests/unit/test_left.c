// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Senders that sleep because the socket is full, as it is after each record here: what they had
 * sealed goes out later, unless something has happened in between that makes it wrong.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define MESSAGE TLS_PAYLOAD_MAX
#define MESSAGES 1000
#define FILE_SIZE (9 << 20) /* of which 4 MiB are mapped at once */
#define DISTURB_EVERY 7 /* messages */

struct sender {
	pthread_t thread;
	int fd, file;
	uint8_t mark;
};

/* Message @i of a sender is all of this. */
static uint8_t content(const struct sender *s, int i)
{
	return s->mark + i % 100;
}

static struct sender senders[2];
static struct tls_keys now; /* of the record that is read next */
static uint32_t seed; /* of now; the key after it has seed + 1 */
static int disturbances;
static int other[2]; /* the connection that a handler sends on */

/* The reader is not to wait for what does not come. */
static void *give_up(const struct sender *s, const char *complaint)
{
	shutdown(s->fd, SHUT_RDWR);
	return (void *)complaint;
}

static void *send_messages(void *p)
{
	const struct sender *s = p;
	uint8_t text[MESSAGE];

	for (int i = 0; i < MESSAGES; i++) {
		memset(text, content(s, i), sizeof(text));
		if (tlsulp_send(s->fd, text, sizeof(text), 0) != sizeof(text))
			return give_up(s, "a send ended early");
	}
	return NULL;
}

/* The next record, which may be the first one of the next key: its plaintext length. */
static size_t read_record(int fd, uint8_t *plain)
{
	uint8_t wire[TLS_WIRE_MAX], type;
	size_t len;

	raw_read(fd, wire, TLS_HEADER_LEN);
	raw_read(fd, wire + TLS_HEADER_LEN, wire[3] << 8 | wire[4]);
	if (record_open(&now, 0, wire, plain, &len, &type) < 0) {
		now = keys_seeded(V13, GCM, ++seed);
		assert_true(record_open(&now, 0, wire, plain, &len, &type) > 0);
	}
	assert_int_equal(type, TLSULP_DATA);
	now.seq++;
	return len;
}

/* A message is in one piece in the stream, in however many records: its content. */
static uint8_t read_message(int fd)
{
	uint8_t plain[TLS_PAYLOAD_MAX + 1], first = 0;
	size_t have = 0;

	while (have < MESSAGE) {
		size_t n = read_record(fd, plain);

		if (!have)
			first = plain[0];
		for (size_t i = 0; i < n; i++)
			assert_int_equal(plain[i], first);
		have += n;
	}
	assert_int_equal(have, MESSAGE);
	return first;
}

/* All messages of @count senders, while disturb() is called again and again. */
static void stream(int count, void (*disturb)(void))
{
	int fd[2], sndbuf = 4096, next[2] = { 0, 0 };
	void *complaint;

	now = home_tx_pair(fd, V13, GCM, false);
	seed = 1;
	disturbances = 0;
	assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
	for (int i = 0; i < count; i++) {
		senders[i] = (struct sender){ .fd = fd[0], .mark = i * 100 };
		pthread_create(&senders[i].thread, NULL, send_messages, &senders[i]);
	}
	for (int i = 0; i < count * MESSAGES; i++) {
		uint8_t first = read_message(fd[1]);
		int who = first / 100;

		assert_int_equal(first, content(&senders[who], next[who]++));
		if (disturb && i % DISTURB_EVERY == 0 && i < MESSAGES / 2)
			disturb();
	}
	for (int i = 0; i < count; i++) {
		pthread_join(senders[i].thread, &complaint);
		assert_null(complaint);
	}
	assert_true(raw_is_empty(fd[1]));
	home_close(fd);
}

static void test_nothing_happens(void **state)
{
	stream(1, NULL);
}

/* Of two senders one comes first: the other's record was sealed with the same number. */
static void test_another_sends(void **state)
{
	stream(2, NULL);
}

static void send_elsewhere(int sig)
{
	static const uint8_t text[3 * TLS_PAYLOAD_MAX];

	if (tlsulp_send(other[0], text, sizeof(text), 0) != sizeof(text))
		abort();
}

static void interrupt(void)
{
	static uint8_t sink[1 << 16];

	assert_int_equal(pthread_kill(senders[0].thread, SIGUSR1), 0);
	while (recv(other[1], sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void test_a_handler_uses_the_same_memory(void **state)
{
	struct sigaction act = { .sa_handler = send_elsewhere, .sa_flags = SA_RESTART };

	skip_if_signals_are_late();
	home_tx_pair(other, V13, GCM, false);
	assert_int_equal(sigaction(SIGUSR1, &act, NULL), 0);
	stream(1, interrupt);
	home_close(other);
}

static void nothing(int sig)
{
}

static void *send_large(void *fd)
{
	static const uint8_t text[8 << 20];

	return (void *)tlsulp_send(*(int *)fd, text, sizeof(text), 0);
}

/* As from plain TCP: after some bytes any handler ends the call, whatever SA_RESTART says. */
static void test_a_handler_after_some_bytes(void **state)
{
	struct sigaction act = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	struct timespec patience;
	pthread_t thread;
	void *sent = NULL;
	int fd[2];

	skip_if_signals_are_late();
	assert_int_equal(sigaction(SIGUSR1, &act, NULL), 0);
	home_tx_pair(fd, V13, GCM, false);
	pthread_create(&thread, NULL, send_large, &fd[0]);
	usleep(100000); /* nobody reads */
	assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
	clock_gettime(CLOCK_REALTIME, &patience);
	patience.tv_sec += 20;
	assert_int_equal(pthread_timedjoin_np(thread, &sent, &patience), 0);
	assert_in_range((size_t)sent, TLS_PAYLOAD_MAX, (8 << 20) - 1);
	home_close(fd);
}

/* The next one is set only when the reader has come to the last one. */
static void change_key(void)
{
	if (seed <= (uint32_t)disturbances)
		return;
	disturbances++;
	home_set_keys(senders[0].fd, TLSULP_TX, V13, GCM, seed + 1);
}

static void test_the_key_changes(void **state)
{
	stream(1, change_key);
	assert_true(seed > 3);
}

static void change_size(void)
{
	uint16_t payload = ++disturbances % 2 ? 1000 : TLS_PAYLOAD_MAX;

	assert_int_equal(tlsulp_setsockopt(senders[0].fd, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN,
					   &payload, sizeof(payload)),
			 0);
}

static void test_the_record_size_changes(void **state)
{
	stream(1, change_size);
}

/* Each eight bytes of the file are their number. */
static int numbered_file(size_t size)
{
	int fd = memfd_create("numbers", MFD_CLOEXEC);
	uint64_t numbers[512];

	for (uint64_t i = 0; i < size / 8; i += 512) {
		for (int j = 0; j < 512; j++)
			numbers[j] = i + j;
		assert_int_equal(write(fd, numbers, sizeof(numbers)), sizeof(numbers));
	}
	return fd;
}

static void *send_file(void *p)
{
	const struct sender *s = p;
	off_t at = 0;

	if (tlsulp_sendfile(s->fd, s->file, &at, FILE_SIZE) != FILE_SIZE)
		return give_up(s, "sendfile() sent less");
	return NULL;
}

/*
 * TLS_TX_ZEROCOPY_RO, where a part of the file is mapped: when the socket takes less than was
 * sealed, what comes next may lie before that part.
 */
static void test_a_mapped_file(void **state)
{
	uint8_t plain[TLS_PAYLOAD_MAX + 1];
	int fd[2], one = 1, sndbuf = *(int *)*state;
	struct sender *s = &senders[0];
	void *complaint;
	uint64_t next = 0;

	now = home_tx_pair(fd, V13, GCM, false);
	seed = 1;
	if (sndbuf)
		assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)),
				 0);
	assert_int_equal(
		tlsulp_setsockopt(fd[0], SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &one, sizeof(one)), 0);
	*s = (struct sender){ .fd = fd[0], .file = numbered_file(FILE_SIZE) };
	pthread_create(&s->thread, NULL, send_file, s);
	while (next < FILE_SIZE / 8) {
		size_t n = read_record(fd[1], plain);

		assert_int_equal(n % 8, 0);
		for (size_t i = 0; i < n; i += 8, next++)
			assert_memory_equal(plain + i, &next, 8);
	}
	pthread_join(s->thread, &complaint);
	assert_null(complaint);
	close(s->file);
	home_close(fd);
}

int main(void)
{
	static int standard, small = 4096, middle = 20000;

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_happens),
		cmocka_unit_test(test_another_sends),
		cmocka_unit_test(test_a_handler_uses_the_same_memory),
		cmocka_unit_test(test_a_handler_after_some_bytes),
		cmocka_unit_test(test_the_key_changes),
		cmocka_unit_test(test_the_record_size_changes),
		cmocka_unit_test_prestate(test_a_mapped_file, &standard),
		cmocka_unit_test_prestate(test_a_mapped_file, &small),
		cmocka_unit_test_prestate(test_a_mapped_file, &middle),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
