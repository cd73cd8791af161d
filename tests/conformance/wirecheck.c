// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * wirecheck CAPTURE KEYLOG: was every byte that followed a TLS_TX a TLS record
 * of that key? CAPTURE is a pcap file, KEYLOG is what keylog.so wrote during
 * the same run.
 *
 * For each key, from the stream offset at which it was installed: whole
 * records, each of which libcrypto opens, in the sequence that starts at the
 * key's, and no nonce twice. A key update may begin at any record boundary
 * between the offsets seen before and after the call; records of the old key
 * that come later (the ULP had accepted them, the socket not yet taken them)
 * are counted, and must go on in the old key's sequence.
 *
 * Exit status: 0 every byte is good, 1 some are not, 2 it could not be checked.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "opener.h"

#define EXIT_UNUSABLE 2
#define KEY_MAX 128
#define HEX_MAX (2 * KEY_MAX)
#define FAILURES_SHOWN 50

struct key {
	struct opener opener;
	unsigned long long cookie;
	int pid;
	struct endpoint local, peer;
	uint64_t time;
	int64_t before, after, check;
	struct connection *connection;
	int side;
	bool done; /* checked with an earlier key of the same stream */
};

struct nonce {
	size_t generation;
	uint8_t bytes[NONCE_SIZE];
};

/* One stream under check: its keys in the order of their installation. */
struct checking {
	struct stream *stream;
	struct key **keys;
	size_t key_count, generation;
	uint64_t seq;
	int64_t pos;
	struct nonce *nonces;
	size_t nonce_count, nonce_room;
};

static struct {
	unsigned long streams, keys, records, late, failures;
	unsigned long cut_reset, cut_open, cut_killed, unconfirmed;
	unsigned long long bytes;
} total;

static struct key *keys;
static size_t key_count;
static int *exited;
static size_t exited_count;

static void *grow(void *array, size_t count, size_t size)
{
	void *p = array;

	/* Powers of two. */
	if (!(count & (count - 1)))
		p = realloc(array, (count ? 2 * count : 1) * size);
	if (!p)
		errx(EXIT_UNUSABLE, "out of memory: give the machine more");
	return p;
}

static bool parse_hex(const char *hex, uint8_t *out, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &out[i]) != 1)
			return false;
	return true;
}

static void add_exit(int pid)
{
	exited = grow(exited, exited_count, sizeof(*exited));
	exited[exited_count++] = pid;
}

static bool add_key(const char *line)
{
	char direction[3], local[33], peer[33], hex[HEX_MAX + 1];
	unsigned long long seconds, nanoseconds;
	uint8_t info[KEY_MAX];
	struct key k = { 0 };
	size_t len;

	if (sscanf(line,
		   "KEY %llu.%llu %d %llu %2s %32s %hu %32s %hu %" SCNd64 " %" SCNd64 " %" SCNd64
		   " %256s",
		   &seconds, &nanoseconds, &k.pid, &k.cookie, direction, local, &k.local.port, peer,
		   &k.peer.port, &k.before, &k.after, &k.check, hex) != 13)
		return false;
	if (!strcmp(direction, "RX"))
		return true;
	len = strlen(hex) / 2;
	if (strlen(local) != 32 || strlen(peer) != 32 || !parse_hex(hex, info, len) ||
	    !parse_hex(local, k.local.addr, 16) || !parse_hex(peer, k.peer.addr, 16))
		return false;
	if (!opener_init(&k.opener, info, len))
		return false;
	k.time = seconds * 1000000000ull + nanoseconds;
	keys = grow(keys, key_count, sizeof(*keys));
	keys[key_count++] = k;
	return true;
}

static void read_keylog(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	int pid, number = 0;

	if (!f)
		err(EXIT_UNUSABLE, "%s cannot be read", path);
	while (fgets(line, sizeof(line), f)) {
		number++;
		if (sscanf(line, "EXIT %*u.%*u %d", &pid) == 1)
			add_exit(pid);
		else if (!add_key(line))
			errx(EXIT_UNUSABLE, "%s:%d is no key that libcrypto can check: %s", path,
			     number, line);
	}
	fclose(f);
}

static void print_endpoint(const struct endpoint *e)
{
	char text[INET6_ADDRSTRLEN];

	printf("%s:%u", inet_ntop(AF_INET6, e->addr, text, sizeof(text)), e->port);
}

static void __attribute__((format(printf, 2, 3))) fail(const struct key *k, const char *format, ...)
{
	va_list args;

	if (++total.failures > FAILURES_SHOWN)
		return;
	printf("FAIL ");
	print_endpoint(&k->local);
	printf(" > ");
	print_endpoint(&k->peer);
	printf(" pid %d, TLS 1.%d %s: ", k->pid, k->opener.tls13 ? 3 : 2, opener_name(&k->opener));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static void fail_at(const struct checking *c, const char *what)
{
	char hex[3 * 16 + 1] = "";
	int64_t i;

	for (i = 0; i < 16 && c->pos + i < c->stream->end; i++)
		sprintf(hex + 3 * i, "%02x ", c->stream->bytes[c->pos + i]);
	fail(c->keys[c->generation], "at byte %lld of %lld, sequence %llu: %s; the bytes are %s",
	     (long long)c->pos, (long long)c->stream->end, (unsigned long long)c->seq, what, hex);
}

/*
 * Looks at as much of a header as there is. The content type of TLS 1.2 is the
 * sender's choice (the suite sends type 100); that it was chosen by the sender
 * is proven when the record opens.
 */
static const char *header_fault(const uint8_t *p, int64_t len, bool tls13)
{
	if (tls13 && p[0] != 23)
		return "this is no TLS record: content type";
	if ((len > 1 && p[1] != 3) || (len > 2 && p[2] != 3))
		return "this is no TLS record: version";
	if (len >= RECORD_HEADER && (p[3] << 8 | p[4]) > RECORD_BODY_MAX)
		return "this is no TLS record: length";
	return NULL;
}

static bool has_exited(int pid)
{
	size_t i;

	for (i = 0; i < exited_count; i++)
		if (exited[i] == pid)
			return true;
	return false;
}

static bool was_reset(const struct key *k)
{
	return k->connection->out[0].rst || k->connection->out[1].rst;
}

/* The last record is not whole. That is right only where TCP itself or a signal cut it. */
static void check_cut(struct checking *c)
{
	struct key *k = c->keys[c->generation];

	if (was_reset(k))
		total.cut_reset++;
	else if (!c->stream->fin)
		total.cut_open++;
	else if (!has_exited(k->pid))
		total.cut_killed++;
	else
		fail_at(c, "the last record is cut short, and then the connection was closed");
}

static void remember_nonce(struct checking *c, const uint8_t *nonce)
{
	struct nonce n = { .generation = c->generation };

	memcpy(n.bytes, nonce, NONCE_SIZE);
	c->nonces = grow(c->nonces, c->nonce_count, sizeof(*c->nonces));
	c->nonces[c->nonce_count++] = n;
}

static int by_nonce(const void *a, const void *b)
{
	const struct nonce *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return memcmp(x->bytes, y->bytes, NONCE_SIZE);
}

static void check_nonces(struct checking *c)
{
	size_t i;

	if (c->nonce_count)
		qsort(c->nonces, c->nonce_count, sizeof(*c->nonces), by_nonce);
	for (i = 1; i < c->nonce_count; i++)
		if (!by_nonce(&c->nonces[i - 1], &c->nonces[i])) {
			fail(c->keys[c->nonces[i].generation], "a nonce was used twice");
			break;
		}
}

static const char *result_text(enum open_result result)
{
	switch (result) {
	case OPEN_SHORT:
		return "the record is too short for its cipher";
	case OPEN_LONG:
		return "the record holds more than 2^14 bytes";
	case OPEN_NO_TYPE:
		return "the record has no TLS 1.3 content type";
	default:
		return "the record does not open with its key and sequence number";
	}
}

/* The youngest key that a record starting here may have. */
static size_t last_generation(const struct checking *c)
{
	size_t g = c->generation;

	while (g + 1 < c->key_count && c->pos >= c->keys[g + 1]->before)
		g++;
	return g;
}

static uint64_t sequence_in(const struct checking *c, size_t generation)
{
	return generation == c->generation ? c->seq : c->keys[generation]->opener.seq;
}

static bool open_record(struct checking *c, size_t len)
{
	const uint8_t *record = c->stream->bytes + c->pos;
	enum open_result result = OPEN_BAD;
	size_t g, last = last_generation(c);
	uint8_t nonce[NONCE_SIZE];

	for (g = last + 1; g-- > c->generation;) {
		uint64_t seq = sequence_in(c, g);

		result = opener_open(&c->keys[g]->opener, seq, record, len, nonce);
		if (result == OPEN_BAD)
			continue;
		if (g < last && c->pos >= c->keys[g + 1]->after)
			total.late++;
		c->generation = g;
		c->seq = seq + 1;
		break;
	}
	if (result != OPEN_OK) {
		fail_at(c, result_text(result));
		return false;
	}
	remember_nonce(c, nonce);
	total.records++;
	return true;
}

static void check_records(struct checking *c)
{
	while (c->pos < c->stream->end) {
		const uint8_t *p = c->stream->bytes + c->pos;
		int64_t left = c->stream->end - c->pos, len;
		const char *fault = header_fault(p, left, c->keys[c->generation]->opener.tls13);

		if (fault) {
			fail_at(c, fault);
			return;
		}
		len = left < RECORD_HEADER ? RECORD_HEADER : RECORD_HEADER + (p[3] << 8 | p[4]);
		if (len > left) {
			check_cut(c);
			return;
		}
		if (!open_record(c, (size_t)len))
			return;
		total.bytes += (unsigned long long)len;
		c->pos += len;
	}
}

/* The kernel counts SYN and FIN in one of the two figures. */
static void check_offsets(const struct key *k)
{
	if (k->check < 0)
		total.unconfirmed++;
	else if (k->check < k->after || k->check > k->after + 2)
		fail(k, "the kernel's counters disagree on where the key begins: %lld or %lld",
		     (long long)k->after, (long long)k->check);
	if (k->after > k->connection->out[k->side].end && !was_reset(k))
		fail(k, "the key begins at byte %lld, but the capture has %lld: capture longer",
		     (long long)k->after, (long long)k->connection->out[k->side].end);
}

static void check_stream(struct checking *c)
{
	struct key *first = c->keys[0];
	const char *fault = capture_assemble(c->stream);
	size_t i;

	for (i = 0; i < c->key_count; i++)
		check_offsets(c->keys[i]);
	if (fault) {
		fail(first, "%s", fault);
		return;
	}
	if (first->before != first->after)
		fail(first, "%lld bytes were sent while the first key was being installed",
		     (long long)(first->after - first->before));
	c->pos = first->before;
	c->seq = first->opener.seq;
	check_records(c);
	check_nonces(c);
}

/* All keys of one stream, in the order of the log, which is that of their installation. */
static void check_keys_of(size_t first)
{
	struct checking c = { 0 };
	size_t i;

	c.stream = &keys[first].connection->out[keys[first].side];
	for (i = first; i < key_count; i++) {
		struct key *k = &keys[i];

		if (k->connection != keys[first].connection || k->side != keys[first].side)
			continue;
		if (k->cookie != keys[first].cookie)
			fail(k, "two sockets have the addresses of one connection");
		k->done = true;
		c.keys = grow(c.keys, c.key_count, sizeof(*c.keys));
		c.keys[c.key_count++] = k;
	}
	check_stream(&c);
	total.streams++;
	total.keys += c.key_count;
	free(c.keys);
	free(c.nonces);
	free(c.stream->bytes);
}

static void find_connections(void)
{
	size_t i;

	for (i = 0; i < key_count; i++) {
		struct key *k = &keys[i];

		k->connection = capture_find(&k->local, &k->peer, k->time, &k->side);
		if (!k->connection) {
			k->done = true;
			fail(k, "its connection is not in the capture");
		}
	}
}

static void print_summary(const struct capture *capture)
{
	unsigned long count = 0;
	struct connection *c;

	for (c = capture->connections; c; c = c->next)
		count++;
	printf("wirecheck: %llu packets, %lu connections (%llu packets of older ones)\n",
	       (unsigned long long)capture->packets, count, (unsigned long long)capture->strays);
	printf("wirecheck: %lu directions with %lu keys: %lu records opened, %llu bytes\n",
	       total.streams, total.keys, total.records, total.bytes);
	printf("wirecheck: %lu records of an old key after its update; last record cut by a reset "
	       "%lu, at the end of the capture %lu, by a signal %lu; offsets not confirmed %lu\n",
	       total.late, total.cut_reset, total.cut_open, total.cut_killed, total.unconfirmed);
	printf("wirecheck: %lu failures\n", total.failures);
}

int main(int argc, char **argv)
{
	struct capture capture;
	size_t i;

	if (argc != 3)
		errx(EXIT_UNUSABLE, "usage: wirecheck CAPTURE KEYLOG");
	capture_read(&capture, argv[1]);
	read_keylog(argv[2]);
	find_connections();
	for (i = 0; i < key_count; i++)
		if (!keys[i].done)
			check_keys_of(i);
	for (i = 0; i < key_count; i++)
		opener_free(&keys[i].opener);
	print_summary(&capture);
	if (!key_count)
		errx(EXIT_UNUSABLE, "no TLS_TX key was installed: nothing has been shown");
	return total.failures ? 1 : 0;
}
