// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tests/unit/home.h"

#include "tests/unit/unit.h"
#include "user/conn.h"
#include "user/loader.h"
#include "user/fault.h"
#include "user/home.h"
#include "user/real.h"
#include "user/stats.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/*
 * cmocka takes SIGSEGV and SIGBUS over for each test. As under the preload, these
 * stay fault.c's, and what cmocka sets comes after it.
 */
__attribute__((visibility("default"))) __sighandler_t signal(int sig, __sighandler_t handler)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_RESTART }, old;

	real_init();
	if (!fault_sigaction(sig, &act, &old))
		return real.signal(sig, handler);
	return old.sa_handler;
}

void home_start(void)
{
	static bool started;

	if (started)
		return;
	started = true;
	setenv("TLSULP_MODE", "user", 1);
	real_init();
	conn_init();
	stats_init();
	loader_init();
	home_init();
}

void home_connect(int fd[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	fd[1] = accept(listener, NULL, NULL);
	assert_true(fd[1] >= 0);
	close(listener);
	for (int i = 0; i < 2; i++)
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void home_attach(int fd)
{
	assert_int_equal(tlsulp_setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4), 0);
}

void home_set_keys(int fd, int name, uint16_t version, uint16_t cipher, uint32_t seed)
{
	struct tls_keys k = keys_seeded(version, cipher, seed);
	uint8_t info[TLS_KEY_INFO_MAX];
	size_t len = info_make(info, version, cipher, k.key, k.iv, 0);

	assert_int_equal(tlsulp_setsockopt(fd, SOL_TLS, name, info, len), 0);
}

struct tls_keys home_tx_pair(int fd[2], uint16_t version, uint16_t cipher, bool rx)
{
	home_connect(fd);
	home_attach(fd[0]);
	home_set_keys(fd[0], TLSULP_TX, version, cipher, 1);
	if (rx) {
		home_attach(fd[1]);
		home_set_keys(fd[1], TLSULP_RX, version, cipher, 1);
	}
	return keys_seeded(version, cipher, 1);
}

struct tls_keys home_rx_pair(int fd[2], uint16_t version, uint16_t cipher)
{
	home_connect(fd);
	home_attach(fd[1]);
	home_set_keys(fd[1], TLSULP_RX, version, cipher, 1);
	return keys_seeded(version, cipher, 1);
}

void home_close(int fd[2])
{
	tlsulp_close(fd[0]);
	tlsulp_close(fd[1]);
}

void raw_write(int fd, const void *p, size_t n)
{
	assert_int_equal(write(fd, p, n), n);
}

void raw_read(int fd, void *p, size_t n)
{
	assert_int_equal(recv(fd, p, n, MSG_WAITALL), n);
}

ssize_t raw_record(int fd, struct tls_keys *k, uint8_t *plain, uint8_t *type)
{
	static uint8_t wire[TLS_WIRE_MAX];
	size_t len;
	int body;

	raw_read(fd, wire, TLS_HEADER_LEN);
	body = tls_record_header(k, wire);
	assert_true(body > 0);
	raw_read(fd, wire + TLS_HEADER_LEN, body);
	if (record_open(k, 0, wire, plain, &len, type) < 0)
		return -1;
	k->seq++;
	return len;
}

bool raw_is_empty(int fd)
{
	int queued = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &queued), 0);
	return queued == 0;
}

uint8_t *bad_page(void)
{
	static uint8_t *pages;

	if (!pages) {
		pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		assert_true(pages != MAP_FAILED);
		assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	}
	return pages + 4096;
}
