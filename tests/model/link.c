// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The connection, its keys, and what has arrived. */
#include "tests/model/walk.h"

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/evp.h"

#define SETTLE_TRIES 20
#define SURE_TRIES 2000
/* A socket takes so much whatever its buffers are, if they are not small. */
#define SURE_ROOM 16000
#define SURE_RECORDS 24
#define KEY_INFO_ROOM 64

struct numbers ends[2];

/* RFC 5246 section 6.2.3.3, RFC 8446 section 5.2: header, explicit nonce, inner type, tag. */
static uint32_t overhead_of(uint16_t version, uint16_t cipher)
{
	if (version == TLSULP_VERSION_1_3)
		return 5 + 1 + 16;
	return 5 + (cipher == TLSULP_CHACHA20_POLY1305 ? 0 : 8) + 16;
}

static void must(bool ok, const char *what)
{
	if (!ok)
		differ("%s: %s", what, strerror(errno));
}

/* Before the connection is there: a window that shrinks later makes TCP wait for seconds. */
static void small_buffers(int fd)
{
	int send = 4000 + draw(40000), receive = 8000 + draw(60000);

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof(send));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
}

static void connect_pair(int fd[2])
{
	bool v6 = one_in(4);
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *a = v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t len = v6 ? sizeof(a6) : sizeof(a4);
	int listener = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fd[0] = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->small) {
		small_buffers(listener);
		small_buffers(fd[0]);
	}
	must(!bind(listener, a, len) && !listen(listener, 1), "listen");
	must(!getsockname(listener, a, &len), "getsockname");
	must(!connect(fd[0], a, len), "connect");
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	must(fd[1] >= 0, "accept");
	close(listener);
}

int any_fd(int end)
{
	return ends[end].fd[draw(ends[end].count)];
}

/* ---- keys ---- */

static bool has_explicit_nonce(void)
{
	return w->version == TLSULP_VERSION_1_2 && w->cipher != TLSULP_CHACHA20_POLY1305;
}

static void add_be64(uint8_t *p, uint64_t n)
{
	for (int i = 7; i >= 0; i--, n >>= 8) {
		n += p[i];
		p[i] = n;
	}
}

size_t key_struct(int dir, uint32_t generation, uint64_t seq, uint8_t *info)
{
	uint32_t seed = (uint32_t)w->seed * 100000 + dir * 50000 + generation * 2;
	struct tls_keys *k = dir ? &w->pair.server_keys : &w->pair.client_keys;
	uint8_t key[TLS_KEY_MAX], nonce[TLS_NONCE_LEN];

	if (w->openssl) {
		memcpy(key, k->key, sizeof(key));
		memcpy(nonce, k->iv, sizeof(nonce));
	} else {
		fill_pattern(key, sizeof(key), seed);
		fill_pattern(nonce, sizeof(nonce), seed + 1);
	}
	if (has_explicit_nonce())
		add_be64(nonce + 4, seq);
	return info_make(info, w->version, w->cipher, key, nonce, seq);
}

static void next_secret(int dir)
{
	if (w->openssl && dir)
		openssl_pair_update(&w->pair, w->pair.server_secret, &w->pair.server_keys);
	else if (w->openssl)
		openssl_pair_update(&w->pair, w->pair.client_secret, &w->pair.client_keys);
}

static bool install(int end, int name, int dir, uint32_t generation)
{
	uint8_t info[KEY_INFO_ROOM];
	uint64_t seq = w->openssl && w->version == TLSULP_VERSION_1_2; /* after Finished */
	size_t len = key_struct(dir, generation, seq, info);

	if (!setsockopt(any_fd(end), SOL_TLS, name, info, len))
		return true;
	if (errno != ENOENT)
		differ("setsockopt(%s): %s", name == TLSULP_TX ? "TLS_TX" : "TLS_RX",
		       error_name(errno));
	return false; /* no library here has this cipher */
}

void set_tx_key(int dir)
{
	struct model *m = &w->dir[dir];

	if (w->tx_set[dir]) {
		w->generation[dir]++;
		w->updates++;
		next_secret(dir);
	}
	if (!install(dir, TLSULP_TX, dir, w->generation[dir]))
		differ("the cipher is gone");
	if (m->open)
		model_end_record(m, MODEL_DATA); /* under the old key */
	w->tx_set[dir] = true;
	w->closed_before[dir] = m->closed;
}

bool has_new_rx_key(int dir)
{
	return (w->openssl && dir) || w->opened[dir] < w->generation[dir];
}

void set_rx_key(int dir)
{
	if (w->rx_set[dir]) {
		w->opened[dir]++;
		if (w->openssl)
			next_secret(dir);
	}
	if (!install(!dir, TLSULP_RX, dir, w->opened[dir]))
		differ("the cipher is gone");
	w->rx_set[dir] = true;
	w->dir[dir].paused = false;
}

/* ---- opening ---- */

static uint64_t received(int end)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	must(!getsockopt(ends[end].fd[0], IPPROTO_TCP, TCP_INFO, &info, &len), "TCP_INFO");
	return info.tcpi_bytes_received;
}

static void attach(int end)
{
	must(!setsockopt(ends[end].fd[0], IPPROTO_TCP, TCP_ULP, "tls", 3 + draw(2)), "TCP_ULP");
}

static void draw_suite(void)
{
	static const uint16_t tls12[] = { 51, 52, 53, 54, 57, 58 };
	static const uint16_t tls13[] = { 51, 52, 53, 54, 55, 56 };
	const struct openssl_suite *s;

	if (w->openssl) {
		s = &openssl_suites[draw(8)];
		w->version = s->version;
		w->cipher = s->cipher;
		openssl_pair_open(&w->pair, s, 0);
		peer_setup();
	} else {
		w->version = one_in(2) ? TLSULP_VERSION_1_2 : TLSULP_VERSION_1_3;
		w->cipher = w->version == TLSULP_VERSION_1_2 ? tls12[draw(6)] : tls13[draw(6)];
	}
}

static void reset(void)
{
	for (int i = 0; i < 2; i++) {
		struct model *m = &w->dir[i];

		/* Not its bytes: they are many, and none is looked at before it is sent. */
		memset(m, 0, offsetof(struct model, records));
		m->limit = 16384;
		w->tx_set[i] = w->rx_set[i] = w->nonblock[i] = w->streaming[i] = false;
		w->generation[i] = w->opened[i] = 0;
		w->closed_before[i] = 0;
		w->lowat[i] = 1;
		w->watched[i] = -1;
	}
	w->given = w->popped = w->popped_wire = 0;
	w->alerts = 0;
}

void link_open(void)
{
	int fd[2];

	reset();
	w->small = one_in(3);
	draw_suite();
	w->overhead = overhead_of(w->version, w->cipher);
	connect_pair(fd);
	ends[0] = (struct numbers){ { fd[0] }, 1 };
	ends[1] = (struct numbers){ { fd[1] }, 1 };
	for (int i = 0; i < 2; i++) {
		w->dir[i].key_update = w->version == TLSULP_VERSION_1_3;
		if (!i || !w->openssl)
			attach(i);
		w->received_before[i] = received(!i);
	}
	if (!install(0, TLSULP_TX, 0, 0)) {
		w->cipher = TLSULP_AES_GCM_128;
		w->overhead = overhead_of(w->version, w->cipher);
		must(install(0, TLSULP_TX, 0, 0), "AES-GCM-128");
	}
	w->tx_set[0] = true;
	if (w->openssl)
		w->tx_set[1] = w->rx_set[0] = true;
	else
		set_tx_key(1);
	for (int i = 0; i < 2; i++)
		if (!(w->openssl && i) && one_in(2))
			watch(i);
	note("TLS %s cipher %d, %s, %s buffers", w->version == TLSULP_VERSION_1_3 ? "1.3" : "1.2",
	     w->cipher, w->openssl ? "OpenSSL at the other end" : "both ends",
	     w->small ? "small" : "usual");
}

void link_close(void)
{
	for (int i = 0; i < 2; i++)
		for (; ends[i].count; ends[i].count--)
			close(ends[i].fd[ends[i].count - 1]);
	if (w->openssl)
		openssl_pair_close(&w->pair);
}

/* ---- what has arrived ---- */

static uint64_t wire_sent(int dir)
{
	struct model *m = &w->dir[dir];

	if (w->openssl && dir)
		return w->given;
	return m->in - m->open + m->closed * w->overhead;
}

static bool has_arrived(int dir)
{
	uint64_t got = received(!dir) - w->received_before[dir], want = wire_sent(dir);

	if (got > want + w->dir[dir].ended)
		differ("%llu bytes are on the wire of direction %d, the model has %llu",
		       (unsigned long long)got, dir, (unsigned long long)want);
	return got == want + w->dir[dir].ended;
}

/* Records of OpenSSL's that are in the socket whole. */
static uint32_t whole_records(void)
{
	struct model *m = &w->dir[1];
	uint64_t sum;
	uint32_t n = 0;

	for (; w->popped < m->closed - m->count; w->popped++)
		w->popped_wire += w->wire[w->popped % MODEL_RECORDS];
	for (sum = w->popped_wire; n < m->count; n++) {
		sum += w->wire[(w->popped + n) % MODEL_RECORDS];
		if (sum > w->given)
			break;
	}
	return n;
}

bool has_room(int dir, size_t more)
{
	struct model *m = &w->dir[dir];
	uint64_t records = m->count + more / m->limit + 2;

	return !w->small && m->in - m->out + more + records * w->overhead <= SURE_ROOM &&
	       records <= SURE_RECORDS;
}

/*
 * Little that is under way arrives at once; but the rest of a large segment can keep
 * the receive buffer full, and a record that is not whole yet is not read. That all
 * arrives in the end is what drain() sees to.
 */
struct there link_there(int dir)
{
	int tries = w->streaming[dir] ? 0 : has_room(dir, 0) ? SURE_TRIES : SETTLE_TRIES;
	struct timespec pause = { 0, 100000 };

	for (int i = 0; i < tries; i++) {
		if (has_arrived(dir))
			return (struct there){ w->openssl && dir ? whole_records()
								 : w->dir[dir].count,
					       true };
		if (i > 4)
			nanosleep(&pause, NULL);
	}
	return (struct there){ w->dir[dir].count, false };
}
