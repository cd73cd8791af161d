// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * homes MODE [update] [limit]: run under `tlsulp run --mode MODE` on a kernel that has the
 * ULP with AES-GCM, AES-CCM and ChaCha20-Poly1305, and with key update and record size limit
 * if these words are given. Each test is a process of its own, prints "ok NAME" or
 * "not ok NAME", and proves by the counters of both homes which of them served it.
 */
#include "tests/guest/pair.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define V12 TLSULP_VERSION_1_2
#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128

static const char *mode;
static bool has_update, has_limit; /* the kernel */

static bool in_mode(const char *name)
{
	return !strcmp(mode, name);
}

static enum home home_of(uint16_t version, uint16_t cipher)
{
	bool kernel_lacks_it = cipher >= TLSULP_SM4_GCM;

	if (in_mode("user"))
		return OURS;
	if (in_mode("kernel"))
		return kernel_lacks_it ? NOBODY : KERNELS;
	return kernel_lacks_it || (version == V13 && !has_update) ? OURS : KERNELS;
}

static void expect_ulp(int fd)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len) && !strcmp(name, "tls"));
	CHECK_ERR(ulp(fd), EEXIST);
}

/* ---- each cipher ---- */

static uint16_t the_version, the_cipher;

static void test_cipher(void)
{
	enum home home = home_of(the_version, the_cipher);
	struct counts then = counts_now();
	struct pair p = pair_attached();

	expect_ulp(p.a);
	pass(p.a, p.b, 1000); /* plain TCP still */
	pass(p.b, p.a, 1000);
	if (home == NOBODY) {
		CHECK(set_key(p.a, TLSULP_TX, the_version, the_cipher, 0) == -1);
		CHECK(errno == ENOENT || errno == EINVAL);
		pass(p.a, p.b, 1000);
		counts_expect(&then, NOBODY, 0, 0);
		return;
	}
	set_all_keys(&p, the_version, the_cipher);
	counts_expect(&then, home, 2, 2);
	expect_ulp(p.a);
	for (int i = 0; i < 8; i++) {
		pass(p.a, p.b, 40000 + i);
		pass(p.b, p.a, 100 * i + 1);
		pass_file(p.b, p.a, 50000 - i);
	}
	counts_expect(&then, home, 2, 2);
	pair_close(&p);
	counts_expect_closed();
}

/* ---- what the kernel refuses ---- */

static void test_wire(void)
{
	static const struct {
		uint16_t version, cipher;
	} kinds[] = { { V12, GCM }, { V13, GCM }, { V13, TLSULP_SM4_CCM } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct pair p = pair_connect();

		CHECK(!ulp(p.a));
		if (home_of(kinds[i].version, kinds[i].cipher) != NOBODY) {
			CHECK(!set_key(p.a, TLSULP_TX, kinds[i].version, kinds[i].cipher, 0));
			CHECK(raw_record(p.a, p.b, 5000) >= 5000);
		}
		pair_close(&p);
	}
}

/* The first session finds out, the next one knows: no kernel ULP beneath it. */
static void test_refusal_is_remembered(void)
{
	for (int i = 0; i < 2; i++) {
		struct pair p = pair_attached();

		CHECK(!has_kernel_ulp(p.a));
		set_all_keys(&p, V12, TLSULP_ARIA_GCM_128);
		CHECK(has_kernel_ulp(p.a) == (in_mode("auto") && i == 0));
		CHECK(!has_kernel_ulp(p.b));
		pass(p.a, p.b, 30000);
		pass(p.b, p.a, 30000);
		pair_close(&p);
	}
	counts_expect_closed();
}

static void send_parts(int fd)
{
	struct iovec iov[2] = { { "one", 3 }, { "two", 3 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int tube[2];

	CHECK(sendmsg(fd, &msg, MSG_EOR) == 6);
	CHECK(send(fd, "th", 2, MSG_MORE) == 2 && send(fd, "ree", 3, 0) == 3);
	CHECK(!pipe(tube) && write(tube[1], "four", 4) == 4);
	CHECK(splice(tube[0], NULL, fd, NULL, 4, 0) == 4);
	close(tube[0]);
	close(tube[1]);
}

static void expect(int fd, const char *words, int flags)
{
	char got[64] = "";
	ssize_t n = recv(fd, got, strlen(words), flags);

	if (n != (ssize_t)strlen(words) || strcmp(got, words))
		fail("recv gave %zd bytes '%s', not '%s'", n, got, words);
}

/* All kinds of calls on a session of ours with the kernel's keyless ULP beneath: a has it, b not.
 */
static void test_beneath(void)
{
	struct pair p = pair_attached();
	struct pollfd poll_b = { p.b, POLLIN, 0 };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int lowat = 9, tube[2];
	socklen_t len = sizeof(lowat);

	set_all_keys(&p, V12, TLSULP_ARIA_GCM_128);
	CHECK(has_kernel_ulp(p.a) == in_mode("auto"));
	for (int turn = 0; turn < 2; turn++) {
		int from = turn ? p.b : p.a, to = turn ? p.a : p.b;

		poll_b.fd = to;
		CHECK(poll(&poll_b, 1, 0) == 0);
		send_parts(from);
		CHECK(poll(&poll_b, 1, 5000) == 1 && poll_b.revents == POLLIN);
		expect(to, "onetwothreefour", MSG_PEEK | MSG_WAITALL);
		expect(to, "onetwothree", MSG_WAITALL);
		CHECK(!pipe(tube) && splice(to, NULL, tube[1], NULL, 100, 0) == 4);
		CHECK(!setsockopt(to, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)));
		CHECK(!getsockopt(to, SOL_SOCKET, SO_RCVLOWAT, &lowat, &len) && lowat == 9);
		pass(from, to, 50000);
		pass_file(from, to, 50000);
	}
	CHECK_ERR(listen(p.a, 1), EINVAL);
	CHECK_ERR(connect(p.a, &none, sizeof(none)), EOPNOTSUPP);
	CHECK(!shutdown(p.a, SHUT_WR));
	CHECK(poll(&poll_b, 1, 0) == 0);
	poll_b.fd = p.b;
	CHECK(poll(&poll_b, 1, 5000) == 1 && recv(p.b, tube, 1, 0) == 0);
	pass(p.b, p.a, 1000);
	pair_close(&p);
	counts_expect_closed();
}

/* Only one direction has a key: the other is plain TCP, whatever is beneath. */
static void test_one_direction(void)
{
	struct pair p = pair_attached();

	CHECK(!set_key(p.a, TLSULP_TX, V12, TLSULP_ARIA_GCM_128, 0));
	CHECK(raw_record(p.a, p.b, 100) > 100);
	pass(p.b, p.a, 60000);
	pair_close(&p);
}

/* ---- key update ---- */

static void send_key_update(int fd)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 };

	CHECK(send_typed(fd, TLSULP_HANDSHAKE, update, sizeof(update)) == sizeof(update));
}

static void expect_key_update(int fd)
{
	uint8_t got[64];
	struct iovec iov = { got, sizeof(got) };
	char control[CMSG_SPACE(1)];
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	CHECK(recvmsg(fd, &msg, 0) == 5 && got[0] == 24);
	CHECK(*CMSG_DATA(CMSG_FIRSTHDR(&msg)) == TLSULP_HANDSHAKE);
	CHECK_ERR(recv(fd, got, 1, MSG_DONTWAIT), EKEYEXPIRED);
}

static void test_key_update(void)
{
	enum home home = home_of(V13, GCM);
	struct counts then = counts_now();
	struct pair p = pair_attached();

	set_all_keys(&p, V13, GCM);
	pass(p.a, p.b, 1000);
	if (home == KERNELS && !has_update) {
		CHECK_ERR(set_key(p.a, TLSULP_TX, V13, GCM, 1), EBUSY);
		return;
	}
	for (int gen = 1; gen < 4; gen++) {
		send_key_update(p.a);
		CHECK(!set_key(p.a, TLSULP_TX, V13, GCM, gen));
		expect_key_update(p.b);
		CHECK(!set_key(p.b, TLSULP_RX, V13, GCM, gen));
		pass(p.a, p.b, 40000);
		pass(p.b, p.a, 40000);
	}
	counts_expect(&then, home, 2, 2); /* the same sessions in the same home */
	pair_close(&p);
}

/* ---- other holders of the socket ---- */

static void join(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
}

/* A child that is told by a byte on a pipe that it may go on. */
static int gate[2];

static void gate_open(void)
{
	CHECK(write(gate[1], "", 1) == 1);
}

static void gate_wait(void)
{
	char c;

	CHECK(read(gate[0], &c, 1) == 1);
}

/* Forked between TCP_ULP and the key, which the child sets: the parent goes along. */
static void test_child_sets_the_key(void)
{
	enum home home = home_of(V12, GCM);
	struct counts then = counts_now();
	struct pair p = pair_attached();
	uint16_t got[2] = { 0 };
	socklen_t len = sizeof(got);
	pid_t pid = fork();

	if (!pid) {
		CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
		CHECK(!set_key(p.b, TLSULP_RX, V12, GCM, 0));
		_exit(0);
	}
	join(pid);
	pass(p.a, p.b, 30000);
	CHECK(!getsockopt(p.a, SOL_TLS, TLSULP_TX, got, &len) && got[0] == V12 && got[1] == GCM);
	expect_ulp(p.a);
	CHECK(!set_key(p.a, TLSULP_RX, V12, GCM, 0));
	CHECK(!set_key(p.b, TLSULP_TX, V12, GCM, 0));
	pass(p.b, p.a, 30000);
	counts_expect(&then, home, 2, 2);
	pair_close(&p);
	counts_expect_closed();
}

/* The same where the parent sets it. */
static void test_parent_sets_the_key(void)
{
	enum home home = home_of(V12, GCM);
	struct counts then = counts_now();
	struct pair p = pair_attached();
	pid_t pid = fork();

	if (!pid) {
		gate_wait();
		CHECK_ERR(set_key(p.a, TLSULP_TX, V12, GCM, 0), EBUSY);
		CHECK(!set_key(p.b, TLSULP_TX, V12, GCM, 0));
		pass(p.a, p.b, 30000);
		pass(p.b, p.a, 30000);
		_exit(0);
	}
	CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
	CHECK(!set_key(p.b, TLSULP_RX, V12, GCM, 0));
	CHECK(!set_key(p.a, TLSULP_RX, V12, GCM, 0));
	gate_open();
	join(pid);
	pass(p.a, p.b, 30000);
	counts_expect(&then, home, 2, 2);
	pair_close(&p);
	counts_expect_closed();
}

/* Numbers made by dup before the ULP, before the key and after it are one connection. */
static void test_dup(void)
{
	enum home home = home_of(V12, GCM);
	struct counts then = counts_now();
	struct pair p = pair_connect();
	int early = dup(p.a), middle, late;

	CHECK(!ulp(p.a) && !ulp(p.b));
	middle = dup(p.a);
	set_all_keys(&p, V12, GCM);
	late = dup2(p.a, middle + 10);
	CHECK(!close(p.a));
	pass(early, p.b, 20000);
	pass(middle, p.b, 20000);
	pass(late, p.b, 20000);
	pass(p.b, middle, 20000);
	CHECK(!close(early) && !close(middle));
	pass(late, p.b, 20000);
	counts_expect(&then, home, 2, 2);
	CHECK(!close(late) && !close(p.b));
	counts_expect_closed();
}

struct dup_race {
	int fd, copies[64];
	pthread_barrier_t *start;
};

static void *dup_often(void *arg)
{
	struct dup_race *r = arg;

	pthread_barrier_wait(r->start);
	for (int i = 0; i < 64; i++)
		r->copies[i] = dup(r->fd);
	return NULL;
}

/* A thread makes duplicates while the key is set: each of them carries records. */
static void test_dup_in_another_thread(void)
{
	pthread_barrier_t start;

	CHECK(!pthread_barrier_init(&start, NULL, 2));
	for (int round = 0; round < 20; round++) {
		struct pair p = pair_attached();
		struct dup_race r = { .fd = p.a, .start = &start };
		pthread_t thread;

		CHECK(!pthread_create(&thread, NULL, dup_often, &r));
		CHECK(!set_key(p.b, TLSULP_RX, V12, GCM, 0));
		pthread_barrier_wait(&start);
		CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
		CHECK(!pthread_join(thread, NULL));
		for (int i = 0; i < 64; i++) {
			pass(r.copies[i], p.b, 100);
			CHECK(!close(r.copies[i]));
		}
		pair_close(&p);
	}
	counts_expect_closed();
}

/* A socket that the kernel serves goes through an exec as any other. */
static void test_exec(void)
{
	struct pair p = pair_attached();
	char number[16], got[16] = "";
	pid_t pid;

	set_all_keys(&p, V12, GCM);
	snprintf(number, sizeof(number), "%d", p.a);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "homes", "say", number, NULL);
		_exit(1);
	}
	join(pid);
	CHECK(recv(p.b, got, 5, MSG_WAITALL) == 5 && !strcmp(got, "hello"));
	pass(p.a, p.b, 1000);
}

/* ---- options before the key ---- */

static void test_payload_limit(void)
{
	enum home home = in_mode("auto") && !has_limit ? OURS : home_of(V12, GCM);
	struct counts then = counts_now();
	struct pair p = pair_connect();
	uint16_t limit = 1000;

	CHECK(!ulp(p.a));
	if (home == KERNELS && !has_limit) {
		CHECK_ERR(setsockopt(p.a, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &limit, 2),
			  ENOPROTOOPT);
		return;
	}
	CHECK(!setsockopt(p.a, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &limit, sizeof(limit)));
	CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
	counts_expect(&then, home, 1, 0);
	CHECK(raw_record(p.a, p.b, 5000) == 1000 + 8 + TLS_TAG_LEN);
	pair_close(&p);
}

static void test_zerocopy(void)
{
	enum home home = home_of(V12, GCM);
	struct counts then = counts_now();
	struct pair p = pair_attached();
	int flag = 1;
	socklen_t len = sizeof(flag);

	CHECK(!setsockopt(p.a, SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &flag, sizeof(flag)));
	set_all_keys(&p, V12, GCM);
	counts_expect(&then, home, 2, 2);
	flag = 0;
	CHECK(!getsockopt(p.a, SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &flag, &len) && flag == 1);
	pass_file(p.a, p.b, 60000);
	pair_close(&p);
}

/* ---- errors ---- */

static void expect_refused(int fd, const void *info, size_t len, int err)
{
	CHECK_ERR(setsockopt(fd, SOL_TLS, TLSULP_TX, info, len), err);
}

/* The program's mistakes are no reason to take the session from the kernel. */
static void test_mistakes(void)
{
	struct counts then = counts_now();
	struct pair p = pair_connect();
	const uint16_t versions[2] = { 0x0305, GCM }, ciphers[2] = { V12, 9999 };
	uint8_t info[TLS_KEY_INFO_MAX];
	size_t len;
	int one = 1;

	memcpy(info, key_info(V12, GCM, 0, &len), sizeof(info));
	expect_refused(p.a, info, len, ENOPROTOOPT);
	CHECK(!ulp(p.a) && !ulp(p.b));
	expect_refused(p.a, info, 3, EINVAL);
	expect_refused(p.a, NULL, len, EINVAL);
	expect_refused(p.a, (void *)16, len, EFAULT);
	expect_refused(p.a, info, len + 1, EINVAL);
	expect_refused(p.a, info, len - 1, EINVAL);
	memcpy(info, versions, 4);
	expect_refused(p.a, info, len, EINVAL);
	memcpy(info, ciphers, 4);
	expect_refused(p.a, info, len, EINVAL);
	CHECK_ERR(getsockopt(p.a, SOL_TLS, TLSULP_TX, info, &(socklen_t){ 4 }), EBUSY);
	CHECK_ERR(setsockopt(p.a, SOL_TLS, 99, &one, sizeof(one)), ENOPROTOOPT);
	pass(p.a, p.b, 1000);
	set_all_keys(&p, V12, GCM);
	CHECK_ERR(set_key(p.a, TLSULP_TX, V12, GCM, 0), EBUSY);
	CHECK_ERR(setsockopt(p.a, SOL_TLS, 99, &one, sizeof(one)), ENOPROTOOPT);
	pass(p.a, p.b, 1000);
	counts_expect(&then, home_of(V12, GCM), 2, 2);
	pair_close(&p);
}

/* The second direction stays where the first one is, whatever its key is. */
static void test_no_change_of_home(void)
{
	struct pair p = pair_attached();
	struct counts then = counts_now();

	CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
	CHECK_ERR(set_key(p.a, TLSULP_RX, V12, TLSULP_AES_GCM_256, 0), EINVAL);
	CHECK(!set_key(p.a, TLSULP_RX, V12, GCM, 0));
	counts_expect(&then, home_of(V12, GCM), 1, 1);
	pair_close(&p);
}

static void test_not_connected(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK_ERR(ulp(fd), ENOTCONN);
	CHECK_ERR(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nothing", 8), ENOENT);
	close(fd);
}

/* The peer closed its side after TCP_ULP: too late for the kernel's, not for ours. */
static void test_peer_has_closed(void)
{
	struct counts then = counts_now();
	struct pair p = pair_connect();
	char c;

	CHECK(!ulp(p.a) && !shutdown(p.b, SHUT_WR) && recv(p.a, &c, 1, 0) == 0);
	CHECK(!set_key(p.a, TLSULP_TX, V12, GCM, 0));
	CHECK(raw_record(p.a, p.b, 1000) > 1000);
	counts_expect(&then, in_mode("kernel") ? KERNELS : OURS, 1, 0);
	pair_close(&p);
}

/* Its I/O is out of our sight, but not out of the kernel's. */
static void test_io_uring(void)
{
	enum home home = in_mode("user") ? NOBODY : KERNELS;
	struct counts then = counts_now();
	struct pair p = pair_connect();
	char params[120] = "";
	int ring = syscall(SYS_io_uring_setup, 1, params);

	CHECK(ring >= 0);
	if (home == NOBODY) {
		CHECK_ERR(ulp(p.a), ENOENT);
		return;
	}
	CHECK(!ulp(p.a) && !ulp(p.b));
	set_all_keys(&p, V13, GCM);
	counts_expect(&then, KERNELS, 2, 2);
	pass(p.a, p.b, 1000);
	pair_close(&p);
}

/* ---- all of them ---- */

static int failures;

static void run(const char *name, void (*test)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(120);
		CHECK(!pipe(gate));
		test();
		exit(0);
	}
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status)) {
		printf("ok %s: %s\n", mode, name);
		return;
	}
	printf("not ok %s: %s (status %#x)\n", mode, name, status);
	failures++;
}

static void run_ciphers(void)
{
	for (the_cipher = GCM; the_cipher <= TLSULP_ARIA_GCM_256; the_cipher++) {
		const struct tls_cipher *c = tls_cipher_find(the_cipher);
		char name[64];

		for (the_version = V12; the_version <= V13; the_version++) {
			if (the_version == V12 ? !c->tls12 : !c->tls13)
				continue;
			snprintf(name, sizeof(name), "%s with TLS 1.%d", c->name,
				 the_version - V12 + 2);
			run(name, test_cipher);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "say"))
		return write(atoi(argv[2]), "hello", 5) != 5;
	mode = argv[1];
	for (int i = 2; i < argc; i++) {
		has_update |= !strcmp(argv[i], "update");
		has_limit |= !strcmp(argv[i], "limit");
	}
	run_ciphers();
	run("only records are on the wire", test_wire);
	run("key update", test_key_update);
	run("a child sets the key", test_child_sets_the_key);
	run("the parent sets the key", test_parent_sets_the_key);
	run("no change of home", test_no_change_of_home);
	run("dup before and after", test_dup);
	run("dup in another thread", test_dup_in_another_thread);
	run("record size limit before the key", test_payload_limit);
	run("zerocopy before the key", test_zerocopy);
	run("mistakes", test_mistakes);
	run("not connected", test_not_connected);
	run("a process with an io_uring", test_io_uring);
	if (!in_mode("kernel")) {
		run("a refusal is remembered", test_refusal_is_remembered);
		run("all calls with a keyless ULP beneath", test_beneath);
		run("one direction with a keyless ULP beneath", test_one_direction);
		run("the peer has closed its side", test_peer_has_closed);
	}
	if (!in_mode("user"))
		run("exec", test_exec);
	return failures != 0;
}
