// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tests/guest/pair.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK_MAX 65536

void fail(const char *format, ...)
{
	int err = errno;
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (errno %d: %s)\n", err, strerror(err));
	exit(1);
}

struct pair pair_connect(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pair p;

	CHECK(listener >= 0 && !bind(listener, (struct sockaddr *)&addr, len));
	CHECK(!listen(listener, 1) && !getsockname(listener, (struct sockaddr *)&addr, &len));
	p.a = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!connect(p.a, (struct sockaddr *)&addr, len));
	p.b = accept(listener, NULL, NULL);
	CHECK(p.b >= 0 && !close(listener));
	return p;
}

struct pair pair_attached(void)
{
	struct pair p = pair_connect();

	CHECK(!ulp(p.a) && !ulp(p.b));
	return p;
}

void pair_close(struct pair *p)
{
	CHECK(!close(p->a) && !close(p->b));
}

int ulp(int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"));
}

const void *key_info(uint16_t version, uint16_t cipher, int gen, size_t *len)
{
	static uint8_t info[TLS_KEY_INFO_MAX];
	size_t secret;

	*len = tls_cipher_info_len(tls_cipher_find(cipher));
	memset(info, 0, sizeof(info));
	memcpy(info, &version, sizeof(version));
	memcpy(info + sizeof(version), &cipher, sizeof(cipher));
	secret = *len - TLS_SEQ_LEN;
	for (size_t i = 4; i < secret; i++)
		info[i] = i * 7 + gen * 31;
	return info;
}

int set_key(int fd, int direction, uint16_t version, uint16_t cipher, int gen)
{
	size_t len;
	const void *info = key_info(version, cipher, gen, &len);

	return setsockopt(fd, SOL_TLS, direction, info, len);
}

void set_all_keys(const struct pair *p, uint16_t version, uint16_t cipher)
{
	CHECK(!set_key(p->a, TLSULP_TX, version, cipher, 0));
	CHECK(!set_key(p->b, TLSULP_RX, version, cipher, 0));
	CHECK(!set_key(p->a, TLSULP_RX, version, cipher, 0));
	CHECK(!set_key(p->b, TLSULP_TX, version, cipher, 0));
}

static uint8_t text[CHUNK_MAX];

static const uint8_t *fill(size_t n)
{
	static uint8_t round;

	CHECK(n <= CHUNK_MAX);
	round++;
	for (size_t i = 0; i < n; i++)
		text[i] = i + i / 251 + round;
	return text;
}

static void expect_text(int fd, size_t n)
{
	static uint8_t got[CHUNK_MAX];
	ssize_t have = recv(fd, got, n, MSG_WAITALL);

	if (have != (ssize_t)n || memcmp(got, text, n))
		fail("recv gave %zd bytes of %zu%s", have, n,
		     have == (ssize_t)n ? ", and others" : "");
}

void pass(int from, int to, size_t n)
{
	ssize_t sent = send(from, fill(n), n, 0);

	if (sent != (ssize_t)n)
		fail("send took %zd bytes of %zu", sent, n);
	expect_text(to, n);
}

void pass_file(int from, int to, size_t n)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	off_t at = 0;

	CHECK(file >= 0 && write(file, fill(n), n) == (ssize_t)n);
	while (at < (off_t)n)
		CHECK(sendfile(from, file, &at, n - at) > 0);
	close(file);
	expect_text(to, n);
}

size_t raw_record(int from, int to, size_t n)
{
	static uint8_t record[5 + TLS_KEY_INFO_MAX + CHUNK_MAX];
	size_t len;

	CHECK(n >= 64 && send(from, fill(n), n, 0) == (ssize_t)n);
	CHECK(recv(to, record, 5, MSG_WAITALL) == 5);
	CHECK(record[0] == TLSULP_DATA && record[1] == 3 && record[2] == 3);
	len = record[3] << 8 | record[4];
	CHECK(recv(to, record, len, MSG_WAITALL) == (ssize_t)len);
	CHECK(!memmem(record, len, text, 16));
	return len;
}

bool has_kernel_ulp(int fd)
{
	char name[16] = "";
	socklen_t len = sizeof(name);
	register long r10 __asm__("r10") = (long)name;
	register long r8 __asm__("r8") = (long)&len;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"((long)SYS_getsockopt), "D"((long)fd), "S"((long)IPPROTO_TCP),
			   "d"((long)TCP_ULP), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	CHECK(result == 0);
	return len > 0 && !strcmp(name, "tls");
}

/* 0 where the module is not loaded. */
static long kernel_count(const char *name)
{
	FILE *f = fopen("/proc/net/tls_stat", "re");
	char word[64];
	long n, found = 0;

	while (f && fscanf(f, "%63s %ld", word, &n) == 2)
		if (!strcmp(word, name))
			found = n;
	if (f)
		fclose(f);
	return found;
}

static long our_count(const char *name)
{
	int64_t (*stat)(const char *) = dlsym(RTLD_DEFAULT, "tlsulp_stat");

	if (!stat)
		fail("libtlsulp.so is not preloaded");
	return stat(name);
}

struct counts counts_now(void)
{
	return (struct counts){ kernel_count("TlsTxSw"), kernel_count("TlsRxSw"),
				our_count("TlsTxSw"), our_count("TlsRxSw") };
}

void counts_expect(const struct counts *then, enum home home, long tx, long rx)
{
	struct counts now = counts_now();
	long kernel_tx = now.kernel_tx - then->kernel_tx, our_tx = now.our_tx - then->our_tx;
	long kernel_rx = now.kernel_rx - then->kernel_rx, our_rx = now.our_rx - then->our_rx;

	if (kernel_tx != (home == KERNELS ? tx : 0) || kernel_rx != (home == KERNELS ? rx : 0) ||
	    our_tx != (home == OURS ? tx : 0) || our_rx != (home == OURS ? rx : 0))
		fail("the kernel got %ld and %ld keys, we got %ld and %ld; %ld and %ld %s",
		     kernel_tx, kernel_rx, our_tx, our_rx, tx, rx,
		     home == OURS      ? "should be ours"
		     : home == KERNELS ? "should be the kernel's"
				       : "should be nobody's");
}

/* The kernel ends a connection a moment after its close. */
void counts_expect_closed(void)
{
	static const char *const names[] = { "TlsCurrTxSw", "TlsCurrRxSw" };

	for (int i = 0; i < 2; i++) {
		for (int wait = 0; kernel_count(names[i]) && wait < 500; wait++)
			usleep(10000);
		CHECK(!kernel_count(names[i]) && !our_count(names[i]));
	}
}

ssize_t send_typed(int fd, uint8_t type, const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(1)];
	} control = { .head = { CMSG_LEN(1), SOL_TLS, TLSULP_SET_RECORD_TYPE } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	*CMSG_DATA(&control.head) = type;
	return sendmsg(fd, &msg, 0);
}

ssize_t recv_typed(int fd, void *to, size_t len, int *type, int flags)
{
	struct iovec iov = { to, len };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(1)];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, flags);

	*type = -1;
	if (n >= 0 && CMSG_FIRSTHDR(&msg))
		*type = *CMSG_DATA(CMSG_FIRSTHDR(&msg));
	return n;
}
