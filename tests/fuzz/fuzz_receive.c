// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * libFuzzer: arbitrary bytes from the peer, valid records between them, and
 * arbitrary calls on the receive side and on the options; against a model of
 * the stream. The input is a program: one byte an operation, then its operands.
 *
 * What must hold: each byte that a call returns is the model's next one; no
 * buffer is touched beyond what was returned; nothing comes after the first bad
 * byte; readable means that a read does not say EAGAIN; a refused option changes
 * nothing; and if there was no bad byte, all of the stream arrives in the end.
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/calls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#define RECORDS_MAX 64
#define STREAM_MAX 60000 /* what a socket holds whatever its buffers are set to */
#define ROOM 20000
#define PAINT 0xa5
#define KEY_UPDATE 24

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input ---- */

static const uint8_t *in;
static size_t in_left;

static uint8_t take8(void)
{
	if (!in_left)
		return 0;
	in_left--;
	return *in++;
}

static uint16_t take16(void)
{
	uint16_t hi = take8();

	return hi << 8 | take8();
}

/* Mostly small, sometimes up to @max. */
static size_t take_len(size_t max)
{
	uint16_t v = take16();
	size_t n = v & 0x8000 ? v & 0x7fff : v & 0xff;

	return n > max ? max : n;
}

/* ---- the model ---- */

struct model_record {
	uint8_t type;
	uint16_t len;
	uint32_t start; /* of its bytes in text */
};

static struct {
	int fd[2], pipe[2]; /* fd[0] writes as the peer does; fd[1] is the ULP's */
	uint16_t version, cipher;
	struct tls_keys seal; /* of the next record that the peer writes */
	uint32_t seal_gen, open_gen;
	struct model_record records[RECORDS_MAX];
	size_t count, at, off; /* the stream, and how far it was returned */
	const struct model_record *last; /* that bytes were returned of */
	size_t written;
	bool tainted; /* something was written that is no valid record */
	bool ended; /* the peer will write no more */
	bool lowat; /* the program set SO_RCVLOWAT */
	uint8_t pending[TLS_WIRE_MAX + 4096]; /* end of a record, written later */
	size_t pending_len;
} m;

static uint8_t text[RECORDS_MAX + TLS_PAYLOAD_MAX], room[ROOM], wire[TLS_WIRE_MAX + 4096];
static int listener;

/* TLSULP_FUZZ_TRACE=1: what a finding did, call by call. */
static bool traced;
#define trace(...) ((void)(traced && fprintf(stderr, __VA_ARGS__)))

#define must(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__,      \
				#what, errno);                                                     \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static uint8_t model_byte(const struct model_record *r, size_t off)
{
	if (r->type == TLSULP_HANDSHAKE && !off)
		return KEY_UPDATE;
	return text[r->start + off];
}

static void skip_empty(void)
{
	while (m.at < m.count && m.off == m.records[m.at].len) {
		m.at++;
		m.off = 0;
	}
}

/* @n bytes at @p came out, of @type if that is not 0. They are the next ones of the model. */
static void model_expect(const uint8_t *p, size_t n, uint8_t type, bool consume)
{
	size_t at, off;
	uint8_t first;

	if (!n)
		return;
	skip_empty();
	at = m.at;
	off = m.off;
	must(at < m.count);
	first = m.records[at].type;
	must(first == TLSULP_DATA || type);
	must(!type || type == first);
	while (n) {
		const struct model_record *r;

		for (; at < m.count && off == m.records[at].len; off = 0)
			at++;
		must(at < m.count);
		r = &m.records[at];
		must(r->type == first);
		must(first == TLSULP_DATA || n <= r->len - off);
		for (; n && off < r->len; n--)
			must(*p++ == model_byte(r, off++));
	}
	if (consume) {
		m.at = at;
		m.off = off;
		m.last = &m.records[at];
	}
}

static bool paint_is_whole(size_t from)
{
	for (size_t i = from; i < ROOM; i++)
		if (room[i] != PAINT)
			return false;
	return true;
}

/* ---- the peer ---- */

static void peer_write(const uint8_t *p, size_t n)
{
	trace("peer writes %zu: %02x %02x %02x %02x %02x\n", n, p[0], p[1], p[2], p[3], p[4]);
	if (!m.ended && n)
		must(send(m.fd[0], p, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n);
}

static void peer_flush(void)
{
	peer_write(m.pending, m.pending_len);
	m.pending_len = 0;
}

static bool peer_has_room(size_t n)
{
	peer_flush();
	if (m.ended || m.count == RECORDS_MAX || m.written + n > STREAM_MAX)
		return false;
	m.written += n;
	return true;
}

static void peer_split(size_t n)
{
	size_t now = take8();

	now = now < 128 || now > n ? n : now - 128; /* often whole */
	peer_write(wire, now);
	m.pending_len = n - now;
	memcpy(m.pending, wire + now, m.pending_len);
}

/* A valid record; the bytes of the n-th begin at text + n. */
static void write_valid(uint8_t type, size_t len, size_t pad)
{
	struct model_record *r = &m.records[m.count];
	uint8_t plain[TLS_PAYLOAD_MAX];
	size_t n;

	if (!peer_has_room(len + pad + 64))
		return;
	*r = (struct model_record){ type, len, m.count };
	for (size_t i = 0; i < len; i++)
		plain[i] = model_byte(r, i);
	if (m.version == TLSULP_VERSION_1_3)
		n = record_seal_padded(&m.seal, 0, type, plain, len, pad, wire);
	else
		n = record_seal(&m.seal, 0, type, plain, len, wire);
	m.seal.seq++;
	m.seal.explicit_nonce++;
	if (!m.tainted)
		m.count++;
	peer_split(n);
	if (m.version == TLSULP_VERSION_1_3 && type == TLSULP_HANDSHAKE && len)
		m.seal = keys_seeded(m.version, m.cipher, ++m.seal_gen);
}

static void op_valid(void)
{
	static const uint8_t types[] = { 23, 23, 23, 23, 21, 22, 23, 99 };
	uint8_t type = types[take8() % 8];
	size_t len = take_len(TLS_PAYLOAD_MAX), pad = take8();

	if (m.version == TLSULP_VERSION_1_3 && len + pad > TLS_PAYLOAD_MAX)
		pad = 0;
	write_valid(type, len, pad);
}

static void op_garbage(void)
{
	size_t n = 1 + take8() % 64;

	if (!peer_has_room(n))
		return;
	for (size_t i = 0; i < n; i++)
		wire[i] = take8();
	m.tainted = true;
	peer_write(wire, n);
}

/* A record with one bit wrong, somewhere that the seal or the header check covers. */
static void op_tampered(void)
{
	size_t len = take_len(TLS_PAYLOAD_MAX), n, bit = take16();

	if (!peer_has_room(len + 64))
		return;
	n = record_seal(&m.seal, 0, TLSULP_DATA, text, len, wire);
	wire[bit / 8 % n] ^= 1 << bit % 8;
	m.tainted = true;
	peer_split(n);
}

/* Authentic, but of no content type, or over-long. */
static void op_hollow(void)
{
	static uint8_t inner[TLS_PAYLOAD_MAX + 300];
	size_t len = take8() & 1 ? TLS_PAYLOAD_MAX + take8() : take8();

	if (m.version != TLSULP_VERSION_1_3 || !peer_has_room(len + 64))
		return;
	memset(inner, len > TLS_PAYLOAD_MAX ? 23 : 0, len);
	if (len <= TLS_PAYLOAD_MAX + 1 && len > TLS_PAYLOAD_MAX)
		return;
	m.tainted = true;
	peer_split(record_seal_inner(&m.seal, 0, inner, len, wire));
}

static void op_end(void)
{
	peer_flush();
	trace("peer ends\n");
	if (!m.ended)
		shutdown(m.fd[0], SHUT_WR);
	m.ended = true;
}

/* ---- the calls ---- */

static void attach(int fd)
{
	must(!tlsulp_setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4));
}

static void set_rx_key(uint32_t seed)
{
	const struct tls_keys k = keys_seeded(m.version, m.cipher, seed);
	uint8_t info[TLS_KEY_INFO_MAX];
	size_t len = info_make(info, m.version, m.cipher, k.key, k.iv, 0);

	must(!tlsulp_setsockopt(m.fd[1], SOL_TLS, TLSULP_RX, info, len));
}

/* EKEYEXPIRED comes when the last thing returned was a KeyUpdate, and only then. */
static void next_key(void)
{
	must(m.version == TLSULP_VERSION_1_3);
	must(m.last && m.last->type == TLSULP_HANDSHAKE);
	must(m.last != &m.records[m.at] || m.off == m.last->len);
	must(m.open_gen < m.seal_gen);
	set_rx_key(++m.open_gen);
}

static void after_failure(void)
{
	must(errno == EAGAIN || errno == EBADMSG || errno == EINVAL || errno == EMSGSIZE ||
	     errno == EIO || errno == EKEYEXPIRED);
	must(m.tainted || (errno != EBADMSG && errno != EMSGSIZE));
	if (errno == EKEYEXPIRED)
		next_key();
}

static int take_flags(void)
{
	static const int flags[] = {
		0,         MSG_PEEK,         MSG_WAITALL, MSG_PEEK | MSG_WAITALL, MSG_DONTWAIT,
		MSG_TRUNC, MSG_CMSG_CLOEXEC, MSG_NOSIGNAL
	};

	return flags[take8() % 8];
}

static void op_recv(void)
{
	size_t n = take_len(ROOM);
	int flags = take_flags();
	ssize_t got;

	memset(room, PAINT, sizeof(room));
	got = tlsulp_recv(m.fd[1], room, n, flags);
	trace("recv(%zu, %#x) = %zd, errno %d\n", n, flags, got, errno);
	must(got <= (ssize_t)n);
	must(paint_is_whole(got < 0 ? 0 : got));
	if (got < 0)
		after_failure();
	else
		model_expect(room, got, 0, !(flags & MSG_PEEK));
}

/* One recvmsg(): bytes, or -1. */
static ssize_t recv_msg(size_t n, size_t control_len, unsigned int pieces, int flags)
{
	union {
		char bytes[CMSG_SPACE(1) + 32];
		struct cmsghdr head;
	} control;
	struct iovec iov[4];
	struct msghdr msg = { .msg_iov = iov,
			      .msg_iovlen = pieces,
			      .msg_control = control_len ? &control : NULL,
			      .msg_controllen = control_len };
	size_t each = n / pieces;
	struct cmsghdr *c;
	uint8_t type = 0;
	ssize_t got;

	memset(&control, 0, sizeof(control));
	memset(room, PAINT, sizeof(room));
	for (unsigned int i = 0; i < pieces; i++)
		iov[i] = (struct iovec){ room + i * each, i + 1 < pieces ? each : n - i * each };
	got = tlsulp_recvmsg(m.fd[1], &msg, flags);
	trace("recvmsg(%zu in %u, control %zu, %#x) = %zd, errno %d\n", n, pieces, control_len,
	      flags, got, errno);
	must(got <= (ssize_t)n);
	must(paint_is_whole(got < 0 ? 0 : got));
	must(msg.msg_controllen <= control_len);
	if (got < 0) {
		after_failure();
		return got;
	}
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_len >= CMSG_LEN(1) && msg.msg_controllen >= CMSG_LEN(1)) {
		must(c->cmsg_level == SOL_TLS && c->cmsg_type == TLSULP_GET_RECORD_TYPE);
		type = *CMSG_DATA(c);
	}
	model_expect(room, got, type, !(flags & MSG_PEEK));
	return got;
}

static void op_recvmsg(void)
{
	size_t n = take_len(ROOM);
	uint8_t v = take8();

	recv_msg(n, v & 3 ? CMSG_SPACE(1) : (v >> 4) * 2, 1 + (v >> 2) % 4, take_flags());
}

static void op_bad_buffer(void)
{
	size_t n = 1 + take_len(4000);
	ssize_t got = tlsulp_recv(m.fd[1], bad_page(), n, take_flags());

	trace("recv to nowhere(%zu) = %zd, errno %d\n", n, got, errno);
	must(got <= 0);
	if (got < 0 && errno != EFAULT)
		after_failure();
}

static void op_splice(void)
{
	size_t n = 1 + take_len(ROOM - 1);
	ssize_t got = tlsulp_splice(m.fd[1], NULL, m.pipe[1], NULL, n, SPLICE_F_NONBLOCK);

	trace("splice(%zu) = %zd, errno %d\n", n, got, errno);
	must(got <= (ssize_t)n);
	if (got < 0) {
		after_failure();
		return;
	}
	if (got)
		must(read(m.pipe[0], room, ROOM) == got);
	model_expect(room, got, TLSULP_DATA, true);
}

/* Readable means a whole record, the end or an error. An empty data record is one too. */
static void op_poll(void)
{
	struct pollfd p = { m.fd[1], POLLIN, 0 };
	int ready;

	if (take8() & 1) {
		fd_set r;
		struct timeval none = { 0, 0 };

		FD_ZERO(&r);
		FD_SET(m.fd[1], &r);
		ready = tlsulp_select(m.fd[1] + 1, &r, NULL, NULL, &none);
	} else {
		ready = tlsulp_poll(&p, 1, 0);
	}
	trace("poll = %d\n", ready);
	must(ready >= 0);
	for (size_t i = m.at; i < m.count && !m.lowat; i++)
		if (m.records[i].len == 0)
			return;
	if (ready && !m.lowat)
		must(recv_msg(100, CMSG_SPACE(1), 1, MSG_PEEK) >= 0 || errno != EAGAIN);
}

static void op_lowat(void)
{
	int v = (int)(take16() * (take8() & 1 ? 1u : 65536u)), shown = 0;
	socklen_t len = sizeof(shown);

	m.lowat = true;
	if (tlsulp_setsockopt(m.fd[1], SOL_SOCKET, SO_RCVLOWAT, &v, sizeof(v)))
		return;
	must(!tlsulp_getsockopt(m.fd[1], SOL_SOCKET, SO_RCVLOWAT, &shown, &len));
	must(shown == (v < 0 ? INT32_MAX : v ? v : 1));
}

static void op_dup(void)
{
	int fd = tlsulp_dup(m.fd[1]);

	must(fd >= 0);
	must(!tlsulp_close(m.fd[1]));
	m.fd[1] = fd;
}

/* Options that leave the keys alone, with any length and value. */
static void op_option(void)
{
	static const int names[] = { TLSULP_RX_EXPECT_NO_PAD, TLSULP_TX_MAX_PAYLOAD_LEN,
				     TLSULP_TX_ZEROCOPY_RO, TLSULP_RX };
	uint8_t value[TLS_KEY_INFO_MAX + 4] = { 0 }, before[40], after[40];
	socklen_t before_len = 4, after_len = 4, len = take8() % sizeof(value);
	int name = names[take8() % 4], err;

	for (size_t i = 0; i < 8; i++)
		value[i] = take8();
	if (name == TLSULP_RX && len == info_size(m.cipher))
		len--;
	must(!tlsulp_getsockopt(m.fd[1], SOL_TLS, TLSULP_RX, before, &before_len));
	err = tlsulp_setsockopt(m.fd[1], SOL_TLS, name, value, len);
	must(name != TLSULP_RX || err);
	must(!tlsulp_getsockopt(m.fd[1], SOL_TLS, TLSULP_RX, after, &after_len));
	must(!memcmp(before, after, 4));
}

/* ---- a second connection, for options of any kind ---- */

static int connect_pair(int fd[2])
{
	struct sockaddr_in addr;
	struct linger abort_it = { 1, 0 };
	socklen_t len = sizeof(addr);
	int one = 1;

	getsockname(listener, (struct sockaddr *)&addr, &len);
	fd[0] = call_new_fd(socket(AF_INET, SOCK_STREAM, 0));
	if (fd[0] < 0 || connect(fd[0], (struct sockaddr *)&addr, sizeof(addr)))
		return -1;
	fd[1] = call_new_fd(accept(listener, NULL, NULL));
	must(fd[1] >= 0);
	/* No TIME_WAIT: ports would run out. */
	setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	return 0;
}

static size_t get(int fd, int name, size_t len, uint8_t *value)
{
	socklen_t n = len;

	return tlsulp_getsockopt(fd, SOL_TLS, name, value, &n) ? SIZE_MAX : n;
}

static void set_any(int fd)
{
	uint8_t value[80] = { 0 }, before[4][80] = { 0 }, after[4][80] = { 0 };
	int name = take8() % 8 - 1;
	uint8_t shape = take8();
	socklen_t len = take8() % sizeof(value);
	size_t had[4], has[4];

	for (size_t i = 0; i < 6; i++)
		value[i] = take8();
	if (shape & 1) { /* nearly right */
		value[0] = 3 + (shape >> 1 & 1);
		value[1] = 3;
		value[2] = TLSULP_AES_GCM_128 + (shape >> 2) % 8;
		value[3] = 0;
		if (shape & 0x20)
			len = info_size(value[2]);
	}
	if (shape & 2) {
		uint8_t swap = value[0];

		value[0] = value[1];
		value[1] = swap;
	}
	for (int i = 0; i < 4; i++)
		had[i] = get(fd, 1 + i, i < 2 ? 40 : 4, before[i]);
	if (!tlsulp_setsockopt(fd, SOL_TLS, name, shape & 0x80 ? bad_page() : value, len))
		return;
	for (int i = 0; i < 4; i++) {
		has[i] = get(fd, 1 + i, i < 2 ? 40 : 4, after[i]);
		must(has[i] == had[i] && !memcmp(before[i], after[i], 80));
	}
}

static void op_options_elsewhere(void)
{
	uint8_t value[80];
	int fd[2];

	if (connect_pair(fd))
		return;
	attach(fd[1]);
	for (int i = take8() % 8; i >= 0; i--) {
		set_any(fd[1]);
		get(fd[1], take8() % 8, take8() % 80, value);
		tlsulp_send(fd[1], text, take8(), MSG_NOSIGNAL | (take8() & 1 ? MSG_MORE : 0));
		tlsulp_recv(fd[1], value, take8() % 80, 0);
	}
	tlsulp_close(fd[0]);
	tlsulp_close(fd[1]);
}

/* ---- one run ---- */

static void (*const ops[])(void) = {
	op_valid,
	op_valid,
	op_valid,
	op_garbage,
	op_tampered,
	op_hollow,
	op_recv,
	op_recv,
	op_recvmsg,
	op_recvmsg,
	op_splice,
	op_poll,
	op_lowat,
	op_dup,
	op_option,
	peer_flush,
	op_options_elsewhere,
	op_end,
	op_valid,
	op_bad_buffer,
};

static void wait_for_more(void)
{
	struct pollfd p = { m.fd[1], POLLIN, 0 };

	poll(&p, 1, 1);
}

/* With no bad byte in it, the rest of the stream comes out whole. */
static void drain(void)
{
	int idle = 0;

	peer_flush();
	skip_empty();
	while (m.at < m.count && idle < (m.tainted ? 4 : 300)) {
		size_t at = m.at, off = m.off;

		recv_msg(ROOM, CMSG_SPACE(1), 1, 0);
		skip_empty();
		if (at != m.at || off != m.off)
			idle = 0;
		else if (idle++ > 3)
			wait_for_more();
	}
	must(m.tainted || m.at == m.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t ciphers[] = { TLSULP_AES_GCM_128, TLSULP_AES_GCM_256,
					    TLSULP_AES_CCM_128, TLSULP_CHACHA20_POLY1305 };
	uint8_t first;

	memset(&m, 0, sizeof(m));
	in = data;
	in_left = size;
	first = take8();
	m.version = first & 1 ? TLSULP_VERSION_1_3 : TLSULP_VERSION_1_2;
	m.cipher = ciphers[first >> 1 & 3];
	m.seal_gen = m.open_gen = 1;
	if (connect_pair(m.fd))
		return 0;
	must(!call_pipe2(m.pipe, 0));
	m.seal = keys_seeded(m.version, m.cipher, 1);
	attach(m.fd[1]);
	if (first & 0x10) /* what came before the key is read as records too */
		op_valid();
	set_rx_key(1);
	for (int i = 0; in_left && i < 200; i++)
		ops[take8() % ARRAY_SIZE(ops)]();
	drain();
	tlsulp_close(m.fd[0]);
	tlsulp_close(m.fd[1]);
	tlsulp_close(m.pipe[0]);
	tlsulp_close(m.pipe[1]);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	traced = getenv("TLSULP_FUZZ_TRACE") != NULL;
	home_start();
	fill_pattern(text, sizeof(text), 1);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	must(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	must(!listen(listener, 16));
	return 0;
}
