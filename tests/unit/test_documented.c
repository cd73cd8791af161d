// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The documented interface, promise by promise, on loopback connections. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/calls.h"
#include "user/linger.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define V12 TLSULP_VERSION_1_2
#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define MIB (1 << 20)

/* @call fails with @err. */
static uint8_t text[MIB], got[MIB], plain[TLS_PAYLOAD_MAX], wire[TLS_WIRE_MAX + 4096];

static int set_ulp(int fd, const void *name, socklen_t len)
{
	return tlsulp_setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, len);
}

static int set_tls(int fd, int name, const void *value, socklen_t len)
{
	return tlsulp_setsockopt(fd, SOL_TLS, name, value, len);
}

static int get_tls(int fd, int name, void *value, socklen_t *len)
{
	return tlsulp_getsockopt(fd, SOL_TLS, name, value, len);
}

/* fd[0] sends and fd[1] receives as ever. */
static void transfer_works(int fd[2])
{
	assert_int_equal(tlsulp_send(fd[0], text, 20000, 0), 20000);
	assert_int_equal(tlsulp_recv(fd[1], got, 20000, MSG_WAITALL), 20000);
	assert_memory_equal(got, text, 20000);
}

static void next_record_is(int fd, struct tls_keys *k, uint8_t type, const void *bytes, size_t len)
{
	uint8_t got_type;

	assert_int_equal(raw_record(fd, k, plain, &got_type), len);
	assert_int_equal(got_type, type);
	assert_memory_equal(plain, bytes, len);
}

/* One message with the control message of a record type. */
struct control {
	union {
		char bytes[CMSG_SPACE(16)];
		struct cmsghdr head;
	};
};

static struct msghdr typed(struct control *c, struct iovec *iov, int cmsg_type, uint8_t type,
			   size_t data_len)
{
	memset(c, 0, sizeof(*c));
	c->head.cmsg_level = SOL_TLS;
	c->head.cmsg_type = cmsg_type;
	c->head.cmsg_len = CMSG_LEN(data_len);
	*CMSG_DATA(&c->head) = type;
	return (struct msghdr){ .msg_iov = iov,
				.msg_iovlen = 1,
				.msg_control = c,
				.msg_controllen = CMSG_LEN(data_len) };
}

static ssize_t send_typed(int fd, uint8_t type, const void *p, size_t n, int flags)
{
	struct iovec iov = { (void *)p, n };
	struct control c;
	struct msghdr msg = typed(&c, &iov, TLSULP_SET_RECORD_TYPE, type, 1);

	return tlsulp_sendmsg(fd, &msg, flags);
}

/* recvmsg() with room for exactly one cmsg: *@type is 0 if none came. */
static ssize_t recv_typed(int fd, void *p, size_t n, int flags, uint8_t *type, int *msg_flags)
{
	struct iovec iov = { p, n };
	struct control c = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_LEN(1)
	};
	ssize_t len = tlsulp_recvmsg(fd, &msg, flags);
	struct cmsghdr *m = len < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	*type = 0;
	if (m) {
		assert_int_equal(m->cmsg_level, SOL_TLS);
		assert_int_equal(m->cmsg_type, TLSULP_GET_RECORD_TYPE);
		assert_int_equal(m->cmsg_len, CMSG_LEN(1));
		*type = *CMSG_DATA(m);
	}
	if (msg_flags)
		*msg_flags = msg.msg_flags;
	return len;
}

/* ---- attach ---- */

static void test_connect_first_then_attach(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), six = socket(AF_INET6, SOCK_STREAM, 0);

	assert_fails(set_ulp(fd, "tls", 4), ENOTCONN);
	assert_int_equal(listen(fd, 1), 0);
	assert_fails(set_ulp(fd, "tls", 4), ENOTCONN);
	if (six >= 0)
		assert_fails(set_ulp(six, "tls", 4), ENOTCONN);
	close(fd);
	close(six);
}

static void test_a_second_time_is_eexist(void **state)
{
	int fd[2];

	home_connect(fd);
	assert_int_equal(set_ulp(fd[0], "tls", 4), 0);
	assert_fails(set_ulp(fd[0], "tls", 4), EEXIST);
	assert_fails(set_ulp(fd[0], "tls", 3), EEXIST);
	home_close(fd);
}

static void attaches(const void *name, socklen_t len)
{
	int fd[2];

	home_connect(fd);
	assert_int_equal(set_ulp(fd[0], name, len), 0);
	home_close(fd);
}

static void test_the_name_with_and_without_nul(void **state)
{
	uint8_t *end = bad_page();

	attaches("tls", 3);
	attaches("tls", 4);
	attaches("tls\0whatever", 12);
	memcpy(end - 3, "tls", 3);
	attaches(end - 3, 3);
}

static void test_another_name_gets_the_kernels_answer(void **state)
{
	static const struct {
		const char *name;
		socklen_t len;
	} names[] = { { "tlsx", 5 }, { "TLS", 4 }, { "tl", 2 },
		      { "", 1 },     { "tls", 0 }, { "no-such-ulp-anywhere", 21 } };
	int fd[2];

	home_connect(fd);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int err;

		assert_int_equal(
			setsockopt(fd[1], IPPROTO_TCP, TCP_ULP, names[i].name, names[i].len), -1);
		err = errno;
		assert_fails(set_ulp(fd[0], names[i].name, names[i].len), err);
	}
	assert_int_equal(set_ulp(fd[0], "tls", 4), 0);
	assert_fails(set_ulp(fd[0], "no-such-ulp-anywhere", 21), ENOENT);
	home_close(fd);
}

static void test_getsockopt_says_tls(void **state)
{
	char name[32] = "untouched by a short length";
	socklen_t len = sizeof(name);
	int fd[2];

	home_connect(fd);
	home_attach(fd[0]);
	assert_int_equal(tlsulp_getsockopt(fd[0], IPPROTO_TCP, TCP_ULP, name, &len), 0);
	assert_string_equal(name, "tls");
	assert_true(len >= 3 && len <= 16);
	len = 2;
	strcpy(name, "xyz");
	assert_int_equal(tlsulp_getsockopt(fd[0], IPPROTO_TCP, TCP_ULP, name, &len), 0);
	assert_int_equal(len, 2);
	assert_string_equal(name, "tlz");
	home_close(fd);
}

static void test_options_without_the_ulp_are_unknown(void **state)
{
	uint8_t value[TLS_KEY_INFO_MAX] = { 0 };
	int fd[2];

	home_connect(fd);
	for (int name = 0; name < 8; name++) {
		socklen_t len = sizeof(value);

		int err;

		assert_fails(set_tls(fd[0], name, value, 40), ENOPROTOOPT);
		/* A TCP socket of Linux answers EOPNOTSUPP to getsockopt of any strange level. */
		assert_int_equal(getsockopt(fd[1], SOL_TLS, name, value, &len), -1);
		err = errno;
		assert_true(err == ENOPROTOOPT || err == EOPNOTSUPP);
		assert_fails(get_tls(fd[0], name, value, &len), err);
	}
	home_close(fd);
}

static void test_options_that_no_ulp_has_are_unknown(void **state)
{
	static const int names[] = { 0, 6, 7, -1, 1000 };
	uint8_t value[TLS_KEY_INFO_MAX] = { 0 };
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		socklen_t len = 4;

		assert_fails(set_tls(fd[0], names[i], value, 4), ENOPROTOOPT);
		assert_fails(get_tls(fd[0], names[i], value, &len), ENOPROTOOPT);
	}
	transfer_works(fd);
	home_close(fd);
}

static void test_listen_and_disconnect_are_refused(void **state)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_fails(tlsulp_listen(fd[0], 1), EINVAL);
	assert_fails(tlsulp_connect(fd[0], &none, sizeof(none)), EOPNOTSUPP);
	transfer_works(fd);
	home_close(fd);
}

/* ---- wrong options leave the socket as it was ---- */

static void bad_keys_are_refused(int fd, int name, int set_already)
{
	static uint8_t info[TLS_KEY_INFO_MAX + 1], key[32], nonce[12];
	size_t len;

	assert_fails(set_tls(fd, name, NULL, 40), EINVAL);
	assert_fails(set_tls(fd, name, info, 3), EINVAL);
	assert_fails(set_tls(fd, name, bad_page(), 40), set_already == V12 ? EBUSY : EFAULT);
	for (uint16_t cipher = TLSULP_AES_GCM_128; cipher <= TLSULP_ARIA_GCM_256; cipher++) {
		int err = set_already == V12 ? EBUSY : EINVAL;

		len = info_make(info, V13, cipher, key, nonce, 0);
		assert_fails(set_tls(fd, name, info, len - 1), err);
		assert_fails(set_tls(fd, name, info, len + 1), err);
		assert_fails(set_tls(fd, name, info, 4), err);
		info_make(info, 0x0302, cipher, key, nonce, 0);
		assert_fails(set_tls(fd, name, info, len), err);
		info_make(info, set_already ? set_already ^ 7 : V12, cipher, key, nonce, 0);
		if (set_already || cipher == TLSULP_SM4_GCM || cipher == TLSULP_SM4_CCM)
			assert_fails(set_tls(fd, name, info, len), err);
	}
}

static void test_bad_keys_before_the_first(void **state)
{
	int fd[2];

	home_connect(fd);
	home_attach(fd[0]);
	home_attach(fd[1]);
	bad_keys_are_refused(fd[0], TLSULP_TX, 0);
	bad_keys_are_refused(fd[1], TLSULP_RX, 0);
	assert_int_equal(tlsulp_send(fd[0], "plain", 5, 0), 5);
	assert_int_equal(tlsulp_recv(fd[1], got, 5, MSG_WAITALL), 5);
	assert_memory_equal(got, "plain", 5);
	home_set_keys(fd[0], TLSULP_TX, V13, GCM, 1);
	home_set_keys(fd[1], TLSULP_RX, V13, GCM, 1);
	transfer_works(fd);
	home_close(fd);
}

static void test_bad_keys_after_the_first(void **state)
{
	static const uint16_t versions[] = { V12, V13 };
	int fd[2];

	for (int i = 0; i < 2; i++) {
		home_tx_pair(fd, versions[i], GCM, true);
		bad_keys_are_refused(fd[0], TLSULP_TX, versions[i]);
		bad_keys_are_refused(fd[1], TLSULP_RX, versions[i]);
		transfer_works(fd);
		home_close(fd);
	}
}

static void test_failed_key_updates_are_counted(void **state)
{
	int64_t tx = tlsulp_stat("TlsTxRekeyError"), rx = tlsulp_stat("TlsRxRekeyError");
	int64_t ok = tlsulp_stat("TlsTxRekeyOk");
	uint8_t info[TLS_KEY_INFO_MAX] = { 0 };
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_fails(set_tls(fd[0], TLSULP_TX, info, 40), EINVAL);
	assert_fails(set_tls(fd[1], TLSULP_RX, info, 40), EINVAL);
	assert_int_equal(tlsulp_stat("TlsTxRekeyError"), tx + 1);
	assert_int_equal(tlsulp_stat("TlsRxRekeyError"), rx + 1);
	home_set_keys(fd[0], TLSULP_TX, V13, GCM, 2);
	home_set_keys(fd[1], TLSULP_RX, V13, GCM, 2);
	assert_int_equal(tlsulp_stat("TlsTxRekeyOk"), ok + 1);
	transfer_works(fd);
	home_close(fd);
}

static void test_bad_small_options(void **state)
{
	int two = 2, minus = -1;
	uint16_t small = 62, large = 16385;
	socklen_t len;
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_fails(set_tls(fd[0], TLSULP_TX_ZEROCOPY_RO, &two, 4), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_ZEROCOPY_RO, &minus, 4), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_ZEROCOPY_RO, NULL, 4), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_ZEROCOPY_RO, bad_page(), 4), EFAULT);
	assert_fails(set_tls(fd[1], TLSULP_RX_EXPECT_NO_PAD, &two, 4), EINVAL);
	assert_fails(set_tls(fd[1], TLSULP_RX_EXPECT_NO_PAD, bad_page(), 4), EFAULT);
	assert_fails(set_tls(fd[0], TLSULP_RX_EXPECT_NO_PAD, &two, 4), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, &small, 2), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, &large, 2), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, &two, 4), EINVAL);
	assert_fails(set_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, bad_page(), 2), EFAULT);
	len = 2;
	assert_int_equal(get_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, &small, &len), 0);
	assert_int_equal(small, 16384);
	transfer_works(fd);
	home_close(fd);
}

static void test_bad_pointers_to_getsockopt(void **state)
{
	static const int names[] = { TLSULP_TX, TLSULP_TX_ZEROCOPY_RO, TLSULP_TX_MAX_PAYLOAD_LEN };
	static const socklen_t lens[] = { 40, 4, 2 };
	uint8_t value[TLS_KEY_INFO_MAX];
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		socklen_t len = lens[i];

		assert_fails(get_tls(fd[0], names[i], bad_page(), &len), EFAULT);
		assert_fails(get_tls(fd[0], names[i], value, (socklen_t *)bad_page()), EFAULT);
		assert_fails(get_tls(fd[0], names[i], value, NULL), EFAULT);
	}
	transfer_works(fd);
	home_close(fd);
}

/* ---- send ---- */

static void test_a_mebibyte_of_sendfile_is_64_full_records(void **state)
{
	static const uint16_t versions[] = { V12, V13 };
	int file = memfd_create("mebibyte", 0), fd[2];

	raw_write(file, text, MIB);
	for (int v = 0; v < 2; v++) {
		struct tls_keys k = home_tx_pair(fd, versions[v], GCM, false);
		off64_t at = 0;
		size_t body = 16384 + tls_record_overhead(&k);
		int records = 0, big = 8 << 20;

		/* Nobody reads meanwhile: let the socket take it all if it will, or go on by turns.
		 */
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
		fcntl(fd[0], F_SETFL, O_NONBLOCK);
		while (at < MIB || !raw_is_empty(fd[1])) {
			uint8_t type;

			if (at < MIB)
				tlsulp_sendfile(fd[0], file, &at, MIB - at);
			if (raw_is_empty(fd[1]))
				continue;
			assert_int_equal(recv(fd[1], wire, 5, MSG_PEEK | MSG_WAITALL), 5);
			assert_int_equal(wire[3] << 8 | wire[4], body);
			assert_int_equal(raw_record(fd[1], &k, plain, &type), 16384);
			assert_memory_equal(plain, text + records++ * 16384, 16384);
		}
		assert_int_equal(records, 64);
		home_close(fd);
	}
	close(file);
}

/* The count may go beyond the file's end, which only reading tells of a file of /proc. */
static void test_sendfile_stops_where_the_file_ends(void **state)
{
	int files[] = { memfd_create("short", 0), open("/proc/version", O_RDONLY) };

	raw_write(files[0], text, 20000);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		uint8_t want[20001];
		ssize_t size = pread(files[i], want, sizeof(want), 0), half = size / 2;
		off64_t at = 0;
		int fd[2];

		home_tx_pair(fd, V13, GCM, true);
		assert_in_range(size, 2, 20000);
		assert_int_equal(tlsulp_sendfile(fd[0], files[i], &at, MIB), size);
		assert_int_equal(at, size);
		assert_int_equal(tlsulp_recv(fd[1], plain, size, MSG_WAITALL), size);
		assert_memory_equal(plain, want, size);
		assert_int_equal(tlsulp_sendfile(fd[0], files[i], &at, MIB), 0);
		assert_int_equal(at, size);
		assert_int_equal(lseek(files[i], half, SEEK_SET), half);
		assert_int_equal(tlsulp_sendfile(fd[0], files[i], NULL, MIB), size - half);
		assert_int_equal(tlsulp_sendfile(fd[0], files[i], NULL, MIB), 0);
		assert_int_equal(tlsulp_recv(fd[1], plain, size, 0), size - half);
		assert_memory_equal(plain, want + half, size - half);
		close(files[i]);
		home_close(fd);
	}
}

/* Nothing is to be sent: what an earlier call left need not go first. */
static void test_sendfile_at_the_end_of_a_file_never_waits(void **state)
{
	int file = memfd_create("end", 0), fd[2];
	off64_t at = 100;

	raw_write(file, text, 100);
	home_tx_pair(fd, V13, GCM, true);
	while (tlsulp_send(fd[0], text, MIB, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(tlsulp_sendfile(fd[0], file, &at, 1000), 0);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	assert_int_equal(tlsulp_sendfile(fd[0], file, &at, 1000), 0);
	assert_int_equal(at, 100);
	close(file);
	home_close(fd);
}

/* As Linux says: the bytes went out, and where the file goes on is not known. */
static void test_sendfile_to_an_offset_that_cannot_be_written(void **state)
{
	off64_t *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = memfd_create("offset", 0), fd[2];

	raw_write(file, text, 100);
	home_tx_pair(fd, V13, GCM, true);
	mprotect(at, 4096, PROT_READ);
	assert_fails(tlsulp_sendfile(fd[0], file, at, 100), EFAULT);
	assert_int_equal(tlsulp_recv(fd[1], plain, 200, 0), 100);
	munmap(at, 4096);
	close(file);
	home_close(fd);
}

static void *read_slowly(void *arg)
{
	int fd = *(int *)arg;
	static uint8_t all[MIB];
	size_t done = 0;

	while (done < MIB) {
		ssize_t n = tlsulp_recv(fd, all + done, done % 7 ? 3000 : 50000, 0);

		assert_true(n > 0);
		done += n;
		if (done % 5 < 2)
			usleep(1000);
	}
	assert_memory_equal(all, text, MIB);
	return NULL;
}

/* What was read ahead for records that the socket did not take is sealed by then: read again. */
static void test_a_blocking_sendfile_to_a_slow_reader(void **state)
{
	static const int sizes[] = { 20000, 70000 };
	int file = memfd_create("slow", 0);

	raw_write(file, text, MIB);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		pthread_t thread;
		off64_t at = 0;
		int fd[2];

		home_tx_pair(fd, V13, GCM, true);
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &sizes[i], sizeof(sizes[i]));
		pthread_create(&thread, NULL, read_slowly, &fd[1]);
		assert_int_equal(tlsulp_sendfile(fd[0], file, &at, MIB), MIB);
		assert_int_equal(at, MIB);
		pthread_join(thread, NULL);
		home_close(fd);
	}
	close(file);
}

/* What a number is may be remembered, but not beyond its end. */
static void test_a_number_may_become_another_kind_of_file(void **state)
{
	int file = memfd_create("kinds", 0), fd[2], ends[2], number;
	off64_t at = 0;

	raw_write(file, text, 100);
	home_tx_pair(fd, V13, GCM, true);
	number = tlsulp_dup(file);
	for (int round = 0; round < 3; round++) {
		at = 0;
		assert_int_equal(tlsulp_sendfile(fd[0], number, &at, 100), 100);
		assert_fails(tlsulp_splice(number, NULL, fd[0], NULL, 1, 0), EINVAL);
		assert_int_equal(tlsulp_recv(fd[1], plain, 100, 0), 100);

		assert_int_equal(pipe(ends), 0);
		assert_int_equal(tlsulp_dup2(ends[0], number), number);
		raw_write(ends[1], text, 10);
		assert_int_equal(tlsulp_splice(number, NULL, fd[0], NULL, 10, 0), 10);
		assert_fails(tlsulp_sendfile(fd[0], number, &at, 1), EINVAL);
		assert_int_equal(tlsulp_recv(fd[1], plain, 100, 0), 10);

		tlsulp_close(number);
		assert_fails(tlsulp_sendfile(fd[0], number, &at, 1), EBADF);
		assert_fails(tlsulp_splice(number, NULL, fd[0], NULL, 1, 0), EBADF);
		assert_int_equal(dup(file), number); /* as open() would, which is not ours */
		close(ends[0]);
		close(ends[1]);
	}
	tlsulp_close(number);
	close(file);
	home_close(fd);
}

static int zerocopy_pair(int fd[2], struct tls_keys *k)
{
	int one = 1, file = memfd_create("zerocopy", 0);

	*k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(set_tls(fd[0], TLSULP_TX_ZEROCOPY_RO, &one, 4), 0);
	raw_write(file, text, MIB);
	return file;
}

/* TLS_TX_ZEROCOPY_RO: the same bytes, from any offset. */
static void test_sendfile_from_a_mapping(void **state)
{
	static const struct {
		off64_t at;
		size_t len;
	} parts[] = { { 0, 20000 }, { 1, 16384 }, { 4095, 2 }, { 777777, 5000 }, { MIB - 7, 7 } };
	struct tls_keys k;
	int fd[2], file = zerocopy_pair(fd, &k);

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		off64_t at = parts[i].at;
		size_t done = 0;

		assert_int_equal(tlsulp_sendfile(fd[0], file, &at, parts[i].len), parts[i].len);
		assert_int_equal(at, parts[i].at + parts[i].len);
		while (done < parts[i].len) {
			uint8_t type;
			ssize_t n = raw_record(fd[1], &k, plain, &type);

			assert_true(n > 0);
			assert_memory_equal(plain, text + parts[i].at + done, n);
			done += n;
		}
	}
	close(file);
	home_close(fd);
}

struct shrinker {
	int sock, file;
	off64_t size;
};

static void *shrink_and_drain(void *arg)
{
	struct shrinker *s = arg;
	static uint8_t sink[65536];

	usleep(50000);
	assert_int_equal(ftruncate(s->file, s->size), 0);
	while (recv(s->sock, sink, sizeof(sink), 0) > 0)
		;
	return NULL;
}

/* The call sleeps with nothing sent when the file shrinks, to a page's border or within one. */
static void test_a_shrinking_file_gives_eio(void **state)
{
	static const off64_t sizes[] = { 0, 4096, 5000, MIB - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tls_keys k;
		int fd[2], file = zerocopy_pair(fd, &k);
		struct shrinker s = { fd[1], file, sizes[i] };
		int size = 65536, error;
		pthread_t thread;
		off64_t at = 0;
		ssize_t done;

		/* Full, and full for good: the kernel's buffers would grow for a while. */
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		for (int full = 0; full < 30; full++) {
			while (tlsulp_send(fd[0], text, MIB, MSG_DONTWAIT) > 0)
				full = 0;
			usleep(10000);
		}
		pthread_create(&thread, NULL, shrink_and_drain, &s);
		done = tlsulp_sendfile(fd[0], file, &at, MIB);
		error = errno;
		assert_int_equal(tlsulp_send(fd[0], text, 10, 0), 10);
		tlsulp_close(fd[0]);
		pthread_join(thread, NULL);
		assert_int_equal(done, -1);
		assert_int_equal(error, EIO);
		assert_int_equal(at, 0);
		close(fd[1]);
		close(file);
	}
}

static void test_a_cmsg_of_exactly_its_length_works(void **state)
{
	static const uint8_t alert[] = { 1, 0 };
	uint8_t type;
	int fd[2], flags;

	home_tx_pair(fd, V12, GCM, true);
	assert_int_equal(send_typed(fd[0], TLSULP_ALERT, alert, 2, 0), 2);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, &flags), 2);
	assert_int_equal(type, TLSULP_ALERT);
	assert_true(flags & MSG_EOR);
	assert_memory_equal(got, alert, 2);
	transfer_works(fd);
	assert_int_equal(tlsulp_send(fd[0], "data", 4, 0), 4);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, &flags), 4);
	assert_int_equal(type, TLSULP_DATA);
	home_close(fd);
}

static void test_bad_control_messages(void **state)
{
	struct iovec iov = { text, 10 };
	struct control c;
	struct msghdr msg;
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	msg = typed(&c, &iov, TLSULP_SET_RECORD_TYPE, 21, 0);
	assert_fails(tlsulp_sendmsg(fd[0], &msg, 0), EINVAL);
	msg = typed(&c, &iov, TLSULP_GET_RECORD_TYPE, 21, 1);
	assert_fails(tlsulp_sendmsg(fd[0], &msg, 0), EINVAL);
	msg = typed(&c, &iov, TLSULP_SET_RECORD_TYPE, 21, 1);
	assert_fails(tlsulp_sendmsg(fd[0], &msg, MSG_MORE), EINVAL);
	msg.msg_control = bad_page();
	assert_fails(tlsulp_sendmsg(fd[0], &msg, 0), EFAULT);
	c.head.cmsg_len = 1000;
	msg.msg_control = &c;
	assert_fails(tlsulp_sendmsg(fd[0], &msg, 0), EINVAL);
	transfer_works(fd);
	home_close(fd);
}

static void test_unknown_flags_are_refused(void **state)
{
	static const int flags[] = { MSG_OOB,      MSG_DONTROUTE, MSG_CONFIRM,
				     MSG_FASTOPEN, MSG_ZEROCOPY,  MSG_PEEK };
	struct iovec iov = { text, 10 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		assert_fails(tlsulp_send(fd[0], text, 10, flags[i]), EOPNOTSUPP);
		assert_fails(tlsulp_sendmsg(fd[0], &msg, flags[i] | MSG_NOSIGNAL), EOPNOTSUPP);
	}
	assert_fails(tlsulp_send(fd[0], text, 10, MSG_MORE | MSG_EOR), EINVAL);
	transfer_works(fd);
	home_close(fd);
}

static void test_bad_pointers_to_send(void **state)
{
	struct iovec iov = { bad_page(), 10 }, two[] = { { text, 5 }, { bad_page(), 5 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(tlsulp_send(fd[0], "kept", 4, MSG_MORE), 4);
	assert_fails(tlsulp_send(fd[0], bad_page(), 10, 0), EFAULT);
	assert_fails(tlsulp_send(fd[0], bad_page(), 10, MSG_MORE), EFAULT);
	assert_fails(tlsulp_write(fd[0], NULL, 10), EFAULT);
	assert_fails(tlsulp_sendmsg(fd[0], &msg, 0), EFAULT);
	assert_fails(tlsulp_sendmsg(fd[0], (struct msghdr *)bad_page(), 0), EFAULT);
	msg.msg_iov = (struct iovec *)bad_page();
	assert_fails(tlsulp_sendmsg(fd[0], &msg, 0), EFAULT);
	assert_fails(tlsulp_writev(fd[0], two, 2), EFAULT);
	assert_fails(tlsulp_sendfile(fd[0], 0, (off64_t *)bad_page(), 10), EFAULT);
	assert_true(raw_is_empty(fd[1]));
	assert_int_equal(tlsulp_send(fd[0], "!", 1, 0), 1);
	next_record_is(fd[1], &k, TLSULP_DATA, "kept!", 5);
	home_close(fd);
}

static void test_each_call_is_a_record_and_more_joins_them(void **state)
{
	struct iovec iov[] = { { "ab", 2 }, { "", 0 }, { "cd", 2 } };
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V12, TLSULP_CHACHA20_POLY1305, false);
	assert_int_equal(tlsulp_send(fd[0], "one", 3, 0), 3);
	assert_int_equal(tlsulp_write(fd[0], "two", 3), 3);
	assert_int_equal(tlsulp_writev(fd[0], iov, 3), 4);
	assert_int_equal(tlsulp_send(fd[0], "x", 1, MSG_MORE), 1);
	assert_int_equal(tlsulp_send(fd[0], "y", 1, MSG_MORE), 1);
	assert_int_equal(tlsulp_send(fd[0], "z", 1, MSG_EOR), 1);
	next_record_is(fd[1], &k, TLSULP_DATA, "one", 3);
	next_record_is(fd[1], &k, TLSULP_DATA, "two", 3);
	next_record_is(fd[1], &k, TLSULP_DATA, "abcd", 4);
	next_record_is(fd[1], &k, TLSULP_DATA, "xyz", 3);
	assert_true(raw_is_empty(fd[1]));
	home_close(fd);
}

static void test_an_empty_send_makes_no_record(void **state)
{
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(tlsulp_send(fd[0], "", 0, 0), 0);
	assert_int_equal(tlsulp_write(fd[0], NULL, 0), 0);
	assert_true(raw_is_empty(fd[1]));
	transfer_works(fd);
	home_close(fd);
}

/* Nor does it wait for the peer to read what was sent before. */
static void test_an_empty_send_needs_no_room(void **state)
{
	int fd[2];

	home_tx_pair(fd, V13, GCM, false);
	while (tlsulp_send(fd[0], text, MIB, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(tlsulp_send(fd[0], "", 0, MSG_DONTWAIT), 0);
	assert_int_equal(tlsulp_send(fd[0], "", 0, 0), 0);
	assert_int_equal(send_typed(fd[0], 21, "", 0, 0), 0);
	home_close(fd);
}

static void test_another_type_ends_the_open_record(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(tlsulp_send(fd[0], "open", 4, MSG_MORE), 4);
	assert_true(raw_is_empty(fd[1]));
	assert_int_equal(send_typed(fd[0], TLSULP_HANDSHAKE, "hs", 2, 0), 2);
	next_record_is(fd[1], &k, TLSULP_DATA, "open", 4);
	next_record_is(fd[1], &k, TLSULP_HANDSHAKE, "hs", 2);
	home_close(fd);
}

/* Nothing may follow a message of which a part is still to come. */
static void test_a_short_message_ends_sendmmsg(void **state)
{
	struct iovec first[2] = { { text, TLS_PAYLOAD_MAX + 100 }, { bad_page(), 10 } };
	struct iovec second = { "second", 6 };
	struct mmsghdr msgs[2] = { { { .msg_iov = first, .msg_iovlen = 2 }, 0 },
				   { { .msg_iov = &second, .msg_iovlen = 1 }, 0 } };
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(tlsulp_sendmmsg(fd[0], msgs, 2, 0), 1);
	assert_int_equal(msgs[0].msg_len, TLS_PAYLOAD_MAX);
	next_record_is(fd[1], &k, TLSULP_DATA, text, TLS_PAYLOAD_MAX);
	assert_true(raw_is_empty(fd[1]));
	home_close(fd);
}

static void test_a_type_ends_the_open_record_even_if_it_is_data(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V12, GCM, false);
	assert_int_equal(tlsulp_send(fd[0], "open", 4, MSG_MORE), 4);
	assert_int_equal(send_typed(fd[0], TLSULP_DATA, "data", 4, 0), 4);
	next_record_is(fd[1], &k, TLSULP_DATA, "open", 4);
	next_record_is(fd[1], &k, TLSULP_DATA, "data", 4);
	assert_int_equal(tlsulp_send(fd[0], "open", 4, MSG_MORE), 4);
	assert_int_equal(send_typed(fd[0], TLSULP_DATA, "", 0, 0), 0);
	next_record_is(fd[1], &k, TLSULP_DATA, "open", 4);
	home_close(fd);
}

static void test_close_and_shutdown_send_the_open_record(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(tlsulp_send(fd[0], "open", 4, MSG_MORE), 4);
	assert_int_equal(tlsulp_shutdown(fd[0], SHUT_WR), 0);
	next_record_is(fd[1], &k, TLSULP_DATA, "open", 4);
	assert_int_equal(recv(fd[1], got, 1, 0), 0);
	home_close(fd);
	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(tlsulp_send(fd[0], "open", 4, MSG_MORE), 4);
	assert_int_equal(tlsulp_close(fd[0]), 0);
	next_record_is(fd[1], &k, TLSULP_DATA, "open", 4);
	assert_int_equal(recv(fd[1], got, 1, 0), 0);
	close(fd[1]);
}

static void test_the_payload_limit_cuts_the_records(void **state)
{
	uint16_t limit = 100;
	struct tls_keys k;
	int fd[2];

	k = home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(set_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, &limit, 2), 0);
	assert_int_equal(tlsulp_send(fd[0], text, 250, 0), 250);
	next_record_is(fd[1], &k, TLSULP_DATA, text, 100);
	next_record_is(fd[1], &k, TLSULP_DATA, text + 100, 100);
	next_record_is(fd[1], &k, TLSULP_DATA, text + 200, 50);
	assert_int_equal(tlsulp_send(fd[0], text, 1, MSG_MORE), 1);
	assert_fails(set_tls(fd[0], TLSULP_TX_MAX_PAYLOAD_LEN, &limit, 2), EBUSY);
	home_close(fd);
}

static volatile sig_atomic_t pipes_broken;

static void on_sigpipe(int sig)
{
	pipes_broken++;
}

static void test_a_broken_pipe_raises_its_signal(void **state)
{
	int fd[2];

	skip_if_signals_are_late();
	signal(SIGPIPE, on_sigpipe);
	pipes_broken = 0;
	home_tx_pair(fd, V13, GCM, false);
	tlsulp_shutdown(fd[0], SHUT_WR);
	assert_fails(tlsulp_send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	assert_int_equal(pipes_broken, 0);
	assert_fails(tlsulp_send(fd[0], "x", 1, 0), EPIPE);
	assert_int_equal(pipes_broken, 1);
	home_close(fd);
}

static void test_the_sequence_never_wraps(void **state)
{
	struct tls_keys k = keys_seeded(V13, GCM, 1), at;
	uint8_t info[TLS_KEY_INFO_MAX];
	int fd[2];

	home_connect(fd);
	home_attach(fd[0]);
	assert_int_equal(set_tls(fd[0], TLSULP_TX, info,
				 info_make(info, V13, GCM, k.key, k.iv, UINT64_MAX - 1)),
			 0);
	assert_int_equal(tlsulp_send(fd[0], "last", 4, 0), 4);
	assert_fails(tlsulp_send(fd[0], "never", 5, 0), EBADMSG);
	assert_fails(tlsulp_send(fd[0], "never", 5, 0), EBADMSG);
	at = k;
	at.seq = UINT64_MAX - 1;
	next_record_is(fd[1], &at, TLSULP_DATA, "last", 4);
	assert_true(raw_is_empty(fd[1]));
	home_close(fd);
}

/* ---- receive ---- */

static void test_bad_pointers_to_recv_lose_nothing(void **state)
{
	struct iovec iov = { bad_page(), 100 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(tlsulp_send(fd[0], "still here", 10, 0), 10);
	assert_fails(tlsulp_recv(fd[1], bad_page(), 100, 0), EFAULT);
	assert_fails(tlsulp_recv(fd[1], bad_page(), 4, 0), EFAULT);
	assert_fails(tlsulp_recv(fd[1], bad_page(), 100, MSG_PEEK), EFAULT);
	assert_fails(tlsulp_read(fd[1], NULL, 100), EFAULT);
	assert_fails(tlsulp_recvmsg(fd[1], &msg, 0), EFAULT);
	assert_fails(tlsulp_recvmsg(fd[1], (struct msghdr *)bad_page(), 0), EFAULT);
	msg.msg_iov = (struct iovec *)bad_page();
	assert_fails(tlsulp_recvmsg(fd[1], &msg, 0), EFAULT);
	assert_int_equal(tlsulp_recv(fd[1], got, 100, 0), 10);
	assert_memory_equal(got, "still here", 10);
	home_close(fd);
}

static void test_a_bad_piece_in_the_middle_loses_nothing(void **state)
{
	struct iovec iov[] = { { got, 4 }, { bad_page(), 4 }, { got + 4, 4 } };
	ssize_t n;
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(tlsulp_send(fd[0], "0123456789", 10, 0), 10);
	n = tlsulp_readv(fd[1], iov, 3);
	assert_true(n == 4 || n == -1);
	n = n < 0 ? 0 : n;
	assert_int_equal(tlsulp_recv(fd[1], got + n, 100, 0), 10 - n);
	assert_memory_equal(got, "0123456789", 10);
	home_close(fd);
}

static void test_control_records_without_room_stay(void **state)
{
	uint8_t type;
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(send_typed(fd[0], TLSULP_ALERT, "\1\0", 2, 0), 2);
	memset(got, 0xa5, 10);
	for (int i = 0; i < 3; i++)
		assert_fails(tlsulp_recv(fd[1], got, 10, MSG_DONTWAIT), EIO);
	assert_int_equal(got[0], 0xa5);
	assert_int_equal(recv_typed(fd[1], got, 10, MSG_PEEK, &type, NULL), 2);
	assert_int_equal(recv_typed(fd[1], got, 10, 0, &type, NULL), 2);
	assert_int_equal(type, TLSULP_ALERT);
	transfer_works(fd);
	home_close(fd);
}

static void test_a_call_never_mixes_types(void **state)
{
	uint8_t type;
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(tlsulp_send(fd[0], "one", 3, 0), 3);
	assert_int_equal(tlsulp_send(fd[0], "two", 3, 0), 3);
	assert_int_equal(send_typed(fd[0], 22, "control", 7, 0), 7);
	assert_int_equal(tlsulp_send(fd[0], "three", 5, 0), 5);
	usleep(20000);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, NULL), 6);
	assert_int_equal(type, TLSULP_DATA);
	assert_memory_equal(got, "onetwo", 6);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, NULL), 7);
	assert_int_equal(type, TLSULP_HANDSHAKE);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, NULL), 5);
	assert_memory_equal(got, "three", 5);
	home_close(fd);
}

static void test_peeking_takes_nothing(void **state)
{
	int fd[2];

	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(tlsulp_send(fd[0], "peek", 4, 0), 4);
	assert_int_equal(tlsulp_send(fd[0], "aboo", 4, 0), 4);
	usleep(20000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tlsulp_recv(fd[1], got, 2, MSG_PEEK), 2);
		assert_int_equal(tlsulp_recv(fd[1], got, 100, MSG_PEEK), 8);
		assert_memory_equal(got, "peekaboo", 8);
	}
	assert_int_equal(tlsulp_recv(fd[1], got, 100, 0), 8);
	assert_fails(tlsulp_recv(fd[1], got, 1, MSG_DONTWAIT), EAGAIN);
	home_close(fd);
}

static int readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return tlsulp_poll(&p, 1, 50);
}

/* SO_RCVLOWAT from before the key counts plaintext from then on, and one record ends the wait. */
static void test_a_mark_from_before_the_key(void **state)
{
	int fd[2], mark = 1000;
	uint8_t type;

	home_tx_pair(fd, V13, GCM, false);
	assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)), 0);
	home_attach(fd[1]);
	home_set_keys(fd[1], TLSULP_RX, V13, GCM, 1);
	assert_int_equal(send_typed(fd[0], TLSULP_ALERT, text, 2, 0), 2);
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, NULL), 2);
	assert_int_equal(type, TLSULP_ALERT);
	home_close(fd);
}

static bool has_no_inq;

/* What the kernel's TCP_INQ is on for is no business of the program's. */
static void test_tcp_inq_is_the_programs_own(void **state)
{
	static const int program[] = { 0, 1 };
	char control[256];
	struct iovec iov = { got, 100 };
	int two = 2, fd[2];

	if (has_no_inq)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(program); i++) {
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		int value = program[i], other = !value;
		socklen_t len = sizeof(value);

		home_tx_pair(fd, V13, GCM, true);
		assert_int_equal(tlsulp_setsockopt(fd[1], IPPROTO_TCP, TCP_INQ, &value, len), 0);
		assert_int_equal(readable(fd[1]), 0);
		assert_int_equal(tlsulp_send(fd[0], text, 100, 0), 100);
		assert_int_equal(readable(fd[1]), 1);
		assert_int_equal(tlsulp_getsockopt(fd[1], IPPROTO_TCP, TCP_INQ, &value, &len), 0);
		assert_int_equal(value, program[i]);
		assert_int_equal(tlsulp_recvmsg(fd[1], &msg, 0), 100);
		assert_int_equal(msg.msg_flags & MSG_CTRUNC, 0);
		assert_int_equal(msg.msg_controllen, CMSG_SPACE(1));
		assert_int_equal(CMSG_FIRSTHDR(&msg)->cmsg_level, SOL_TLS);
		assert_fails(tlsulp_setsockopt(fd[1], IPPROTO_TCP, TCP_INQ, &two, 4), EINVAL);
		assert_fails(tlsulp_setsockopt(fd[1], IPPROTO_TCP, TCP_INQ, &two, 3), EINVAL);
		assert_fails(tlsulp_setsockopt(fd[1], IPPROTO_TCP, TCP_INQ, bad_page(), 4), EFAULT);
		assert_int_equal(tlsulp_setsockopt(fd[1], IPPROTO_TCP, TCP_INQ, &other, 4), 0);
		assert_int_equal(tlsulp_getsockopt(fd[1], IPPROTO_TCP, TCP_INQ, &value, &len), 0);
		assert_int_equal(value, other);
		assert_int_equal(tlsulp_send(fd[0], text, 40000, 0), 40000);
		assert_int_equal(readable(fd[1]), 1);
		assert_int_equal(tlsulp_recv(fd[1], got, 40000, MSG_WAITALL), 40000);
		home_close(fd);
	}
}

/* MSG_WAITALL for more than there will ever be: the end answers a peek too. */
static void test_a_peek_for_all_ends_with_the_stream(void **state)
{
	static const size_t sizes[] = { 1, 100, 40000 };
	int fd[2];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		home_tx_pair(fd, V13, GCM, true);
		assert_int_equal(tlsulp_send(fd[0], text, sizes[i], 0), sizes[i]);
		assert_int_equal(tlsulp_shutdown(fd[0], SHUT_WR), 0);
		assert_int_equal(tlsulp_recv(fd[1], got, 50000, MSG_PEEK | MSG_WAITALL), sizes[i]);
		assert_int_equal(tlsulp_recv(fd[1], got, 50000, 0), sizes[i]);
		assert_memory_equal(got, text, sizes[i]);
		assert_int_equal(tlsulp_recv(fd[1], got, 50000, MSG_PEEK | MSG_WAITALL), 0);
		home_close(fd);
	}
}

static void test_a_key_update_pauses_reading(void **state)
{
	struct tls_keys k, next = keys_seeded(V13, GCM, 2);
	uint8_t type;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	raw_write(fd[0], wire,
		  record_seal(&k, 0, TLSULP_HANDSHAKE, (uint8_t *)"\x18\0\0\1\0", 5, wire));
	raw_write(fd[0], wire, record_seal(&next, 0, TLSULP_DATA, (uint8_t *)"new key", 7, wire));
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, NULL), 5);
	assert_int_equal(type, TLSULP_HANDSHAKE);
	assert_fails(tlsulp_recv(fd[1], got, 100, 0), EKEYEXPIRED);
	assert_fails(tlsulp_recv(fd[1], got, 100, MSG_PEEK), EKEYEXPIRED);
	assert_int_equal(readable(fd[1]), 0);
	home_set_keys(fd[1], TLSULP_RX, V13, GCM, 2);
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(tlsulp_recv(fd[1], got, 100, 0), 7);
	assert_memory_equal(got, "new key", 7);
	home_close(fd);
}

/* A shutdown that waits for what was sent before it is not lost when its process exits. */
static void test_a_childs_shutdown_outlives_it(void **state)
{
	struct timeval patience = { 20, 0 };
	int fd[2], status;
	ssize_t n;
	pid_t child;

	skip_if_children_have_no_threads();
	home_tx_pair(fd, V13, GCM, false);
	while (tlsulp_send(fd[0], text, MIB, MSG_DONTWAIT) > 0)
		;
	child = fork();
	if (!child) {
		status = tlsulp_shutdown(fd[0], SHUT_WR);
		linger_before_exit();
		_exit(status);
	}
	setsockopt(fd[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	usleep(50000);
	while ((n = read(fd[1], got, sizeof(got))) > 0)
		;
	assert_int_equal(n, 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	home_close(fd);
}

/* To ask changes nothing, not even with a record shorter than what a read waits for. */
static void test_readable_stays_readable(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	assert_fails(tlsulp_recv(fd[1], got, 100, MSG_DONTWAIT), EAGAIN);
	raw_write(fd[0], wire, record_seal(&k, 0, TLSULP_DATA, text, 2, wire));
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(tlsulp_recv(fd[1], got, 100, 0), 2);
	home_close(fd);
}

/* Whose event it is stays certain when a set has the number of one that was closed. */
static void test_an_epoll_set_forgets_what_its_number_had(void **state)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct tls_keys k;
	int fd[2], other[2], set;

	k = home_rx_pair(fd, V13, GCM);
	home_rx_pair(other, V13, GCM);
	set = call_new_fd(epoll_create1(0));
	assert_int_equal(tlsulp_epoll_ctl(set, EPOLL_CTL_ADD, other[1], &ev), 0);
	tlsulp_close(set);
	assert_int_equal(call_new_fd(epoll_create1(0)), set);
	assert_int_equal(tlsulp_epoll_ctl(set, EPOLL_CTL_ADD, fd[1], &ev), 0);
	raw_write(fd[0], wire, record_seal(&k, 0, TLSULP_DATA, text, 100, wire) - 1);
	assert_int_equal(tlsulp_epoll_wait(set, &ev, 1, 0), 0);
	tlsulp_close(set);
	home_close(fd);
	home_close(other);
}

/* A parent that closes with a rest takes nothing out of the epoll set that its child waits on. */
static void test_a_close_leaves_the_childs_epoll_alone(void **state)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd[2], go[2], set = call_new_fd(epoll_create1(0)), status;
	pid_t child;

	home_tx_pair(fd, V13, GCM, false);
	while (tlsulp_send(fd[0], text, MIB, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(tlsulp_epoll_ctl(set, EPOLL_CTL_ADD, fd[0], &ev), 0);
	assert_int_equal(pipe(go), 0);
	child = fork();
	if (!child) {
		close(fd[1]);
		_exit(read(go[0], got, 1) != 1 || tlsulp_epoll_wait(set, &ev, 1, 10000) != 1);
	}
	tlsulp_close(fd[0]);
	raw_write(fd[1], "plain", 5);
	raw_write(go[1], "", 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(fd[1]);
	close(go[0]);
	close(go[1]);
	tlsulp_close(set);
}

static void test_readable_means_a_whole_record(void **state)
{
	struct tls_keys k;
	size_t n;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	n = record_seal(&k, 0, TLSULP_DATA, text, 100, wire);
	for (size_t at = 0; at + 1 < n; at += at < 6 ? 1 : 30) {
		size_t step = at < 6 ? 1 : 30;

		raw_write(fd[0], wire + at, at + step < n ? step : n - 1 - at);
		assert_int_equal(readable(fd[1]), 0);
		assert_fails(tlsulp_recv(fd[1], got, 100, MSG_DONTWAIT), EAGAIN);
		if (at + step >= n)
			break;
	}
	raw_write(fd[0], wire + n - 1, 1);
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(tlsulp_recv(fd[1], got, 100, 0), 100);
	assert_memory_equal(got, text, 100);
	home_close(fd);
}

static void test_splice_leaves_control_records(void **state)
{
	int fd[2], pipes[2];
	uint8_t type;

	assert_int_equal(pipe(pipes), 0);
	home_tx_pair(fd, V13, GCM, true);
	assert_int_equal(tlsulp_send(fd[0], "data", 4, 0), 4);
	assert_int_equal(send_typed(fd[0], TLSULP_ALERT, "\1\0", 2, 0), 2);
	assert_int_equal(tlsulp_splice(fd[1], NULL, pipes[1], NULL, 100, 0), 4);
	assert_int_equal(read(pipes[0], got, 100), 4);
	assert_memory_equal(got, "data", 4);
	assert_fails(tlsulp_splice(fd[1], NULL, pipes[1], NULL, 100, 0), EINVAL);
	assert_int_equal(recv_typed(fd[1], got, 100, 0, &type, NULL), 2);
	assert_int_equal(type, TLSULP_ALERT);
	home_close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- bad records ---- */

struct bad {
	const char *name;
	int err;
	bool for_ever;
	size_t (*make)(const struct tls_keys *k, uint64_t ahead, uint8_t *out);
};

static size_t good_record(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	return record_seal(k, ahead, TLSULP_DATA, text, TLS_PAYLOAD_MAX, out);
}

static size_t bad_tag(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	size_t n = good_record(k, ahead, out);

	out[n - 1] ^= 1;
	return n;
}

static size_t bad_text(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	size_t n = good_record(k, ahead, out);

	out[100] ^= 0x80;
	return n;
}

static size_t bad_number(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	return good_record(k, ahead + 1, out);
}

static size_t bad_type(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	size_t n = good_record(k, ahead, out);

	out[0] = TLSULP_ALERT;
	return n;
}

static size_t bad_version(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	size_t n = good_record(k, ahead, out);

	out[2] = 1;
	return n;
}

static size_t too_long(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	static uint8_t inner[TLS_PAYLOAD_MAX + 100];

	memset(inner, 23, sizeof(inner));
	return record_seal_inner(k, ahead, inner, TLS_PAYLOAD_MAX + tls_record_overhead(k), out);
}

static size_t too_short(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	memcpy(out, "\x17\3\3\0\x0fxxxxxxxxxxxxxxx", 20);
	return 20;
}

/* TLS 1.3 only: authentic, but nothing in it. */
static size_t all_zero(const struct tls_keys *k, uint64_t ahead, uint8_t *out)
{
	static const uint8_t zeros[500];

	return k->version == V13 ? record_seal_inner(k, ahead, zeros, 500, out)
				 : bad_tag(k, ahead, out);
}

static const struct bad bad_records[] = {
	{ "tag", EBADMSG, true, bad_tag },          { "text", EBADMSG, true, bad_text },
	{ "number", EBADMSG, true, bad_number },    { "type", EBADMSG, true, bad_type },
	{ "version", EINVAL, false, bad_version },  { "too long", EMSGSIZE, false, too_long },
	{ "too short", EBADMSG, false, too_short }, { "all zero", EBADMSG, true, all_zero },
};

#define PAINTED 40000

static bool untouched(size_t from, size_t room)
{
	for (size_t i = from; i < from + room && i < PAINTED; i++)
		if (got[i] != 0xa5)
			return false;
	return true;
}

/* Good records, a bad one, and a good one that nobody may see any more. */
static void bad_record_ends_the_stream(const struct bad *b, uint16_t version, uint16_t cipher,
				       size_t room, int flags)
{
	struct tls_keys k;
	size_t n, at = 0;
	int fd[2];

	k = home_rx_pair(fd, version, cipher);
	raw_write(fd[0], wire, record_seal(&k, 0, TLSULP_DATA, text, 700, wire));
	raw_write(fd[0], wire, record_seal(&k, 1, TLSULP_DATA, text + 700, 300, wire));
	n = b->make(&k, 2, wire);
	raw_write(fd[0], wire, n);
	raw_write(fd[0], wire, good_record(&k, 3, wire));
	usleep(2000);
	memset(got, 0xa5, PAINTED);
	while (at < 1000) {
		ssize_t len = tlsulp_recv(fd[1], got + at, room, 0);

		assert_true(len > 0 && len <= 1000 - at);
		at += len;
		assert_true(untouched(at, room));
	}
	assert_memory_equal(got, text, 1000);
	assert_fails(tlsulp_recv(fd[1], got + 1000, room, flags), b->err);
	assert_true(untouched(1000, PAINTED));
	for (int i = 0; i < 3; i++)
		assert_fails(tlsulp_recv(fd[1], got + 1000, room, MSG_DONTWAIT),
			     b->for_ever ? b->err : EAGAIN);
	assert_true(untouched(1000, PAINTED));
	home_close(fd);
}

static void test_bad_records_end_the_stream_after_the_good_ones(void **state)
{
	static const uint16_t versions[] = { V12, V13 };
	static const uint16_t ciphers[] = { GCM, TLSULP_CHACHA20_POLY1305, TLSULP_AES_CCM_128 };
	static const size_t rooms[] = { 1, 333, 1000, 20000, 38000 };

	for (size_t i = 0; i < ARRAY_SIZE(bad_records); i++) {
		for (size_t v = 0; v < 2; v++) {
			for (size_t c = 0; c < ARRAY_SIZE(ciphers); c++) {
				for (size_t r = 0; r < ARRAY_SIZE(rooms); r++)
					bad_record_ends_the_stream(&bad_records[i], versions[v],
								   ciphers[c], rooms[r], 0);
			}
		}
	}
}

static void test_bad_records_are_not_peeked_either(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_records); i++)
		if (bad_records[i].for_ever)
			bad_record_ends_the_stream(&bad_records[i], V13, GCM, 20000, MSG_PEEK);
}

/* Or an event loop spins: poll says readable and the read says EAGAIN, for ever. */
static void test_a_stopped_stream_still_ends(void **state)
{
	struct tls_keys k;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	raw_write(fd[0], wire, bad_version(&k, 0, wire));
	assert_fails(tlsulp_recv(fd[1], got, 100, MSG_DONTWAIT), EINVAL);
	assert_fails(tlsulp_recv(fd[1], got, 100, MSG_DONTWAIT), EAGAIN);
	assert_int_equal(readable(fd[1]), 0);
	close(fd[0]);
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(tlsulp_recv(fd[1], got, 100, 0), 0);
	assert_int_equal(tlsulp_recv(fd[1], got, 100, MSG_DONTWAIT), 0);
	tlsulp_close(fd[1]);
}

/* @len bytes of a record of @n, then the end: the read after "readable" says 0. */
static void cut_record_is_no_data(size_t len, size_t room, int flags)
{
	struct tls_keys k;
	int fd[2];

	k = home_rx_pair(fd, V13, GCM);
	record_seal(&k, 0, TLSULP_DATA, text, 500, wire);
	raw_write(fd[0], wire, len);
	close(fd[0]);
	memset(got, 0xa5, PAINTED);
	assert_int_equal(readable(fd[1]), 1);
	assert_int_equal(tlsulp_recv(fd[1], got, room, flags), 0);
	assert_true(untouched(0, PAINTED));
	tlsulp_close(fd[1]);
}

static void test_a_cut_record_is_no_data(void **state)
{
	static const size_t rooms[] = { 10, 1000 };
	static const int flags[] = { 0, MSG_PEEK, MSG_DONTWAIT, MSG_DONTWAIT | MSG_PEEK };
	size_t whole = TLS_HEADER_LEN + 500 + 1 + TLS_TAG_LEN;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		for (size_t j = 0; j < ARRAY_SIZE(rooms); j++) {
			cut_record_is_no_data(3, rooms[j], flags[i]);
			cut_record_is_no_data(100, rooms[j], flags[i]);
			cut_record_is_no_data(whole - 1, rooms[j], flags[i]);
		}
}

/*
 * Too short for the inner type of TLS 1.3 (RFC 8446 section 5.2), long enough for its header:
 * readable, and the error of a bad record, however often it is looked at before.
 */
static void test_a_record_of_a_tag_alone_is_bad(void **state)
{
	static const uint8_t record[TLS_HEADER_LEN + TLS_TAG_LEN] = { 23, 3, 3, 0, TLS_TAG_LEN };
	struct pollfd p = { .events = POLLIN };
	int fd[2];

	for (int looks = 0; looks < 3; looks++) {
		home_rx_pair(fd, V13, GCM);
		p.fd = fd[1];
		raw_write(fd[0], record, sizeof(record));
		for (int i = 0; i < looks; i++)
			assert_int_equal(tlsulp_poll(&p, 1, 5000), 1);
		assert_fails(tlsulp_recv(fd[1], got, 100, MSG_PEEK), EBADMSG);
		assert_fails(tlsulp_recv(fd[1], got, 100, 0), EBADMSG);
		raw_write(fd[0], record, sizeof(record)); /* nobody shut the connection down */
		assert_int_equal(tlsulp_shutdown(fd[1], SHUT_WR), 0);
		assert_int_equal(recv(fd[0], got, 1, 0), 0);
		home_close(fd);
	}
}

/* Its first bytes come before a reader asks, the last one after it sleeps: it is woken by that. */
static void test_the_last_byte_of_the_shortest_record_wakes(void **state)
{
	static const uint8_t record[TLS_HEADER_LEN + TLS_TAG_LEN] = { 23, 3, 3, 0, TLS_TAG_LEN };
	struct pollfd p = { .events = POLLIN };
	int fd[2];

	home_rx_pair(fd, V13, GCM);
	p.fd = fd[1];
	raw_write(fd[0], record, 3);
	assert_fails(tlsulp_recv(fd[1], got, 100, MSG_DONTWAIT), EAGAIN);
	raw_write(fd[0], record + 3, sizeof(record) - 3);
	assert_int_equal(tlsulp_poll(&p, 1, 5000), 1);
	assert_fails(tlsulp_recv(fd[1], got, 100, 0), EBADMSG);
	home_close(fd);
}

static int setup(void **state)
{
	home_start();
	fill_pattern(text, sizeof(text), 11);
	return 0;
}

/* As a kernel before 4.18. */
static int refuse_inq(void **state)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getsockopt, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_INQ, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	has_no_inq = true;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_first_then_attach),
		cmocka_unit_test(test_a_second_time_is_eexist),
		cmocka_unit_test(test_the_name_with_and_without_nul),
		cmocka_unit_test(test_another_name_gets_the_kernels_answer),
		cmocka_unit_test(test_getsockopt_says_tls),
		cmocka_unit_test(test_options_without_the_ulp_are_unknown),
		cmocka_unit_test(test_options_that_no_ulp_has_are_unknown),
		cmocka_unit_test(test_listen_and_disconnect_are_refused),
		cmocka_unit_test(test_bad_keys_before_the_first),
		cmocka_unit_test(test_bad_keys_after_the_first),
		cmocka_unit_test(test_failed_key_updates_are_counted),
		cmocka_unit_test(test_bad_small_options),
		cmocka_unit_test(test_bad_pointers_to_getsockopt),
		cmocka_unit_test(test_a_mebibyte_of_sendfile_is_64_full_records),
		cmocka_unit_test(test_sendfile_stops_where_the_file_ends),
		cmocka_unit_test(test_sendfile_at_the_end_of_a_file_never_waits),
		cmocka_unit_test(test_sendfile_to_an_offset_that_cannot_be_written),
		cmocka_unit_test(test_a_blocking_sendfile_to_a_slow_reader),
		cmocka_unit_test(test_a_number_may_become_another_kind_of_file),
		cmocka_unit_test(test_sendfile_from_a_mapping),
		cmocka_unit_test(test_a_shrinking_file_gives_eio),
		cmocka_unit_test(test_a_cmsg_of_exactly_its_length_works),
		cmocka_unit_test(test_bad_control_messages),
		cmocka_unit_test(test_unknown_flags_are_refused),
		cmocka_unit_test(test_bad_pointers_to_send),
		cmocka_unit_test(test_each_call_is_a_record_and_more_joins_them),
		cmocka_unit_test(test_an_empty_send_makes_no_record),
		cmocka_unit_test(test_an_empty_send_needs_no_room),
		cmocka_unit_test(test_another_type_ends_the_open_record),
		cmocka_unit_test(test_a_short_message_ends_sendmmsg),
		cmocka_unit_test(test_a_type_ends_the_open_record_even_if_it_is_data),
		cmocka_unit_test(test_close_and_shutdown_send_the_open_record),
		cmocka_unit_test(test_the_payload_limit_cuts_the_records),
		cmocka_unit_test(test_a_broken_pipe_raises_its_signal),
		cmocka_unit_test(test_the_sequence_never_wraps),
		cmocka_unit_test(test_bad_pointers_to_recv_lose_nothing),
		cmocka_unit_test(test_a_bad_piece_in_the_middle_loses_nothing),
		cmocka_unit_test(test_control_records_without_room_stay),
		cmocka_unit_test(test_a_call_never_mixes_types),
		cmocka_unit_test(test_peeking_takes_nothing),
		cmocka_unit_test(test_a_mark_from_before_the_key),
		cmocka_unit_test(test_tcp_inq_is_the_programs_own),
		cmocka_unit_test(test_a_peek_for_all_ends_with_the_stream),
		cmocka_unit_test(test_a_key_update_pauses_reading),
		cmocka_unit_test(test_a_childs_shutdown_outlives_it),
		cmocka_unit_test(test_readable_stays_readable),
		cmocka_unit_test(test_an_epoll_set_forgets_what_its_number_had),
		cmocka_unit_test(test_a_close_leaves_the_childs_epoll_alone),
		cmocka_unit_test(test_readable_means_a_whole_record),
		cmocka_unit_test(test_splice_leaves_control_records),
		cmocka_unit_test(test_bad_records_end_the_stream_after_the_good_ones),
		cmocka_unit_test(test_bad_records_are_not_peeked_either),
		cmocka_unit_test(test_a_stopped_stream_still_ends),
		cmocka_unit_test(test_a_cut_record_is_no_data),
		cmocka_unit_test(test_a_record_of_a_tag_alone_is_bad),
		cmocka_unit_test(test_the_last_byte_of_the_shortest_record_wakes),
	};

	int failed = cmocka_run_group_tests_name("this kernel", tests, setup, NULL);

	return failed + cmocka_run_group_tests_name("without TCP_INQ", tests, refuse_inq, NULL);
}
