// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A session whose arena is corrupt: refused, wiped, nothing more on the wire. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/conn.h"
#include "user/parcel.h"
#include "user/session.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128

static const struct damage {
	const char *what;
	size_t at, size;
	uint64_t value;
	bool rx;
} damages[] = {
#define TX(field, v)                                                                               \
	{                                                                                          \
#field, offsetof(struct session, tx.field),                                        \
			sizeof(((struct session *)0)->tx.field), v, false                          \
	}
#define RX(field, v)                                                                               \
	{                                                                                          \
#field, offsetof(struct session, rx.field),                                        \
			sizeof(((struct session *)0)->rx.field), v, true                           \
	}
	{ "magic", offsetof(struct session, magic), 4, 0x12345678, false },
	{ "magic", offsetof(struct session, magic), 4, 0x12345678, true },
	TX(rest_off, 20000),
	TX(rest_len, 1u << 30),
	TX(rest_len, 5), /* of no buffer */
	TX(rest_buffer, 1u << 30),
	TX(open_buffer, 1u << 30),
	TX(engine.open_len, 60000),
	TX(engine.max_payload, 60000),
	TX(engine.max_payload, 0),
	TX(engine.error, 5),
	TX(pending_error, 5),
	TX(engine.keys.cipher, 999),
	TX(engine.keys.version, 0x999),
	RX(buffer, 1u << 30),
	RX(body_len, 1u << 30),
	RX(body_have, 1u << 30),
	RX(body_len, 3), /* less than a tag */
	{ "body_have", offsetof(struct session, rx.body_len), 8, 100 | 50ull << 32, true },
	RX(engine.error, 5),
	RX(pending_error, 5),
	RX(held_off, 20000),
	RX(held_len, 1u << 30),
	RX(engine.header_len, 200),
	RX(engine.keys.cipher, 999),
	RX(engine.keys.version, 0x999),
};

static bool has_key(const struct session *s, uint8_t *key)
{
	return !memcmp(s->tx.engine.keys.key, key, 16) || !memcmp(s->rx.engine.keys.key, key, 16);
}

enum call { RECV, SEND, GET, SET };

/* -1 and errno, whatever it is. */
static ssize_t do_call(enum call call, int fd)
{
	struct tls_keys k = keys_seeded(V13, GCM, 3);
	uint8_t buf[100] = { 0 }, info[TLS_KEY_INFO_MAX];
	socklen_t len = 4;

	errno = 0;
	switch (call) {
	case RECV:
		return tlsulp_recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	case SEND:
		return tlsulp_send(fd, "secret", 6, MSG_NOSIGNAL);
	case GET:
		return tlsulp_getsockopt(fd, SOL_TLS, TLSULP_TX, buf, &len);
	default:
		len = info_make(info, V13, GCM, k.key, k.iv, 0);
		return tlsulp_setsockopt(fd, SOL_TLS, TLSULP_TX, info, len);
	}
}

static void damage_is_refused(const struct damage *d, enum call call)
{
	struct tls_keys k;
	struct session *s;
	struct conn *c;
	uint8_t buf[100];
	int fd[2], end;

	k = d->rx ? home_rx_pair(fd, V13, GCM) : home_tx_pair(fd, V13, GCM, false);
	end = fd[d->rx];
	c = conn_pin(end);
	s = c->session;
	assert_true(has_key(s, k.key));
	memcpy((uint8_t *)s + d->at, &d->value, d->size);
	if (d->rx)
		assert_int_equal(write(fd[0], "\x17\x03\x03\x00\x20", 5), 5);
	assert_int_equal(do_call(call, end), -1);
	if (errno != EBADMSG && errno != EBADF)
		fail_msg("%s: errno is %d", d->what, errno);
	if (has_key(s, k.key))
		fail_msg("%s: the key is still there", d->what);
	/* The socket is broken: nothing came, and nothing will. */
	if (recv(fd[!d->rx], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		fail_msg("%s: bytes on the wire", d->what);
	assert_int_equal(tlsulp_send(end, "secret", 6, MSG_NOSIGNAL | MSG_DONTWAIT), -1);
	conn_unpin(c);
	home_close(fd);
}

static void test_a_corrupt_session_is_refused_and_wiped(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		damage_is_refused(&damages[i], damages[i].rx ? RECV : SEND);
		damage_is_refused(&damages[i], GET);
		damage_is_refused(&damages[i], SET);
	}
}

/* Where its counters are is not worth a session, and nothing else is counted up. */
static void test_a_line_of_counters_that_cannot_be_is_nobodys(void **state)
{
	static const uint32_t slots[] = { 1u << 31, UINT32_MAX, 100000 };

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct conn *c;
		int fd[2];

		home_tx_pair(fd, V13, GCM, false);
		c = conn_pin(fd[0]);
		c->session->stat_slot = c->session->left_slot = slots[i];
		c->session->left_region = c->session->stat_region;
		assert_int_equal(tlsulp_send(fd[0], "text", 4, MSG_NOSIGNAL), 4);
		conn_unpin(c);
		home_close(fd);
	}
}

/* A copy of the parcel @from, whose free buffers' links are damaged. */
static int damaged_copy(struct arena *from)
{
	int fd = memfd_create("tlsulp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int parcel = parcel_fd(arena_parcel(from));
	uint32_t link = 77777;
	off_t size = lseek(parcel, 0, SEEK_END);
	char *bytes = malloc(size);

	assert_int_equal(pread(parcel, bytes, size, 0), size);
	for (int i = 1; i <= ARENA_SESSION_BUFFERS; i++)
		memcpy(bytes + size - i * ARENA_BUFFER_SIZE, &link, sizeof(link));
	assert_int_equal(pwrite(fd, bytes, size, 0), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	free(bytes);
	return fd;
}

static void test_a_parcels_free_buffers_are_counted_anew(void **state)
{
	struct arena *from = arena_new_parcel(), *got;
	uint32_t buffers[ARENA_SESSION_BUFFERS];

	assert_non_null(from);
	assert_non_null(arena_session_new(from));
	for (int i = 0; i < ARENA_SESSION_BUFFERS; i++)
		buffers[i] = arena_buffer_new(from);
	for (int i = 0; i < ARENA_SESSION_BUFFERS; i++)
		arena_buffer_free(from, buffers[i], 0);
	assert_int_equal(arena_open_parcel(damaged_copy(from), &got), 0);
	for (int i = 0; i < ARENA_SESSION_BUFFERS; i++) {
		buffers[i] = arena_buffer_new(got);
		assert_in_range(buffers[i], 1, ARENA_SESSION_BUFFERS);
	}
	assert_int_equal(arena_buffer_new(got), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_corrupt_session_is_refused_and_wiped),
		cmocka_unit_test(test_a_parcels_free_buffers_are_counted_anew),
		cmocka_unit_test(test_a_line_of_counters_that_cannot_be_is_nobodys),
	};

	home_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
