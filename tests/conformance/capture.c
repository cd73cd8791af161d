// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "capture.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCAP_USEC 0xa1b2c3d4u
#define PCAP_NSEC 0xa1b23c4du
#define LINK_ETHERNET 1
#define BUCKETS 65536
#define EXIT_UNUSABLE 2

enum { FLAG_FIN = 1, FLAG_SYN = 2, FLAG_RST = 4, FLAG_ACK = 16 };

struct tcp_packet {
	struct endpoint src, dst;
	uint64_t time;
	uint32_t seq, ack, len;
	uint8_t flags;
	const uint8_t *data;
};

static struct connection *buckets[BUCKETS];
static struct connection **tail;

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static uint32_t host32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static void *or_die(void *p)
{
	if (!p)
		errx(EXIT_UNUSABLE, "out of memory: give the machine more");
	return p;
}

static unsigned int bucket_of(const struct endpoint *a, const struct endpoint *b)
{
	return (a->port * 31u ^ b->port * 31u ^ a->addr[15] ^ b->addr[15]) % BUCKETS;
}

static bool endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && !memcmp(a->addr, b->addr, 16);
}

/* Which side of c sends from src to dst; -1: neither. */
static int side_of(const struct connection *c, const struct endpoint *src,
		   const struct endpoint *dst)
{
	if (endpoint_same(&c->client, src) && endpoint_same(&c->server, dst))
		return 0;
	if (endpoint_same(&c->client, dst) && endpoint_same(&c->server, src))
		return 1;
	return -1;
}

struct connection *capture_find(const struct endpoint *local, const struct endpoint *peer,
				uint64_t then, int *side)
{
	struct connection *c;

	for (c = buckets[bucket_of(local, peer)]; c; c = c->same_hash) {
		*side = side_of(c, local, peer);
		if (*side >= 0 && c->start <= then)
			return c;
	}
	return NULL;
}

static struct connection *open_connection(const struct tcp_packet *p)
{
	unsigned int bucket = bucket_of(&p->src, &p->dst);
	struct connection *c = or_die(calloc(1, sizeof(*c)));

	c->client = p->src;
	c->server = p->dst;
	c->start = p->time;
	c->out[0].seen = true;
	c->out[0].first = p->seq + 1;
	c->same_hash = buckets[bucket];
	buckets[bucket] = c;
	*tail = c;
	tail = &c->next;
	return c;
}

/* A port pair is used again: the SYN's sequence number tells a new connection from a repeat. */
static struct connection *connection_of(const struct tcp_packet *p, int *side)
{
	struct connection *c = capture_find(&p->src, &p->dst, UINT64_MAX, side);
	bool syn = (p->flags & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN;

	if (!syn || (c && *side == 0 && c->out[0].first == p->seq + 1))
		return c;
	*side = 0;
	return open_connection(p);
}

/* The 64-bit offset next to what is known of the stream that has these 32 bits. */
static int64_t unwrap(const struct stream *s, uint32_t seq)
{
	return s->end + (int32_t)(seq - (s->first + (uint32_t)s->end));
}

static void add_segment(struct stream *s, int64_t off, const uint8_t *data, uint32_t len)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 8;
		s->segments = or_die(realloc(s->segments, s->room * sizeof(*s->segments)));
	}
	s->segments[s->count++] = (struct segment){ .off = off, .len = len, .data = data };
	if (off + len > s->end)
		s->end = off + len;
}

static void add_packet(struct capture *capture, const struct tcp_packet *p)
{
	struct connection *c;
	struct stream *from, *to;
	int64_t off;
	int side;

	c = connection_of(p, &side);
	if (!c) {
		capture->strays++;
		return;
	}
	from = &c->out[side];
	to = &c->out[!side];
	if ((p->flags & FLAG_SYN) && !from->seen) {
		from->seen = true;
		from->first = p->seq + 1;
	}
	if (p->flags & FLAG_RST)
		from->rst = true;
	if (!from->seen)
		return;
	off = unwrap(from, p->flags & FLAG_SYN ? p->seq + 1 : p->seq);
	if (p->len)
		add_segment(from, off, p->data, p->len);
	if (p->flags & FLAG_FIN) {
		from->fin = true;
		from->fin_off = off + p->len;
	}
	if ((p->flags & FLAG_ACK) && to->seen && !(p->flags & FLAG_RST)) {
		int64_t acked = unwrap(to, p->ack);

		if (acked > to->acked)
			to->acked = acked;
	}
}

static void add_tcp(struct capture *capture, struct tcp_packet *p, const uint8_t *tcp, size_t len)
{
	size_t header;

	if (len < 20)
		errx(EXIT_UNUSABLE, "a TCP header is cut short: capture with a larger snap length");
	header = (tcp[12] >> 4) * 4;
	if (header < 20 || header > len)
		errx(EXIT_UNUSABLE, "a TCP header has a wrong length: capture again");
	p->src.port = be16(tcp);
	p->dst.port = be16(tcp + 2);
	p->seq = be32(tcp + 4);
	p->ack = be32(tcp + 8);
	p->flags = tcp[13];
	p->data = tcp + header;
	p->len = (uint32_t)(len - header);
	add_packet(capture, p);
}

static void map_ipv4(uint8_t *addr, const uint8_t *ipv4)
{
	memset(addr, 0, 10);
	memset(addr + 10, 0xff, 2);
	memcpy(addr + 12, ipv4, 4);
}

/* The length field is 0 in packets that segmentation offload made longer than 64 KiB. */
static size_t ip_length(size_t field, size_t header, size_t captured)
{
	size_t len = field ? field + header : captured;

	if (len > captured)
		errx(EXIT_UNUSABLE, "an IP packet is cut short: capture with a larger snap length");
	return len;
}

static void add_ipv4(struct capture *capture, struct tcp_packet *p, const uint8_t *ip, size_t len)
{
	size_t header = len < 20 ? 0 : (size_t)(ip[0] & 15) * 4;

	if (header < 20 || ip[9] != 6)
		return;
	if (be16(ip + 6) & 0x3fff)
		errx(EXIT_UNUSABLE,
		     "a TCP packet is fragmented, which lo never does: capture on lo");
	len = ip_length(be16(ip + 2), 0, len);
	map_ipv4(p->src.addr, ip + 12);
	map_ipv4(p->dst.addr, ip + 16);
	add_tcp(capture, p, ip + header, len - header);
}

static void add_ipv6(struct capture *capture, struct tcp_packet *p, const uint8_t *ip, size_t len)
{
	if (len < 40 || ip[6] != 6)
		return;
	len = ip_length(be16(ip + 4), 40, len);
	memcpy(p->src.addr, ip + 8, 16);
	memcpy(p->dst.addr, ip + 24, 16);
	add_tcp(capture, p, ip + 40, len - 40);
}

static void add_frame(struct capture *capture, uint64_t time, const uint8_t *frame, size_t len)
{
	struct tcp_packet p = { .time = time };

	capture->packets++;
	if (len < 14)
		return;
	if (be16(frame + 12) == 0x0800)
		add_ipv4(capture, &p, frame + 14, len - 14);
	else if (be16(frame + 12) == 0x86dd)
		add_ipv6(capture, &p, frame + 14, len - 14);
}

static const uint8_t *map_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		err(EXIT_UNUSABLE, "%s cannot be read", path);
	*size = (size_t)st.st_size;
	if (*size < 24)
		errx(EXIT_UNUSABLE, "%s is no pcap file: capture again", path);
	p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		err(EXIT_UNUSABLE, "%s cannot be mapped", path);
	close(fd);
	return p;
}

void capture_read(struct capture *c, const char *path)
{
	size_t size, at = 24;
	const uint8_t *file = map_file(path, &size);
	uint32_t magic = host32(file), scale = magic == PCAP_USEC ? 1000 : 1;

	memset(c, 0, sizeof(*c));
	tail = &c->connections;
	if ((magic != PCAP_USEC && magic != PCAP_NSEC) ||
	    (host32(file + 20) & 0xffff) != LINK_ETHERNET)
		errx(EXIT_UNUSABLE, "%s is no pcap of Ethernet frames: capture again", path);
	while (at < size) {
		const uint8_t *head = file + at;
		uint32_t len;

		if (size - at < 16 || size - at - 16 < host32(head + 8))
			errx(EXIT_UNUSABLE, "%s ends inside a packet: stop the capture later",
			     path);
		len = host32(head + 8);
		if (len != host32(head + 12))
			errx(EXIT_UNUSABLE, "%s has cut packets: capture with a larger snap length",
			     path);
		add_frame(c, host32(head) * 1000000000ull + host32(head + 4) * (uint64_t)scale,
			  head + 16, len);
		at += 16 + len;
	}
}

static int by_offset(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* Keep-alives repeat the byte before the next one, at -1 when nothing was sent yet. */
static void trim_front(struct segment *g)
{
	int64_t cut = g->off < 0 ? -g->off : 0;

	if (cut > g->len)
		cut = g->len;
	g->off += cut;
	g->data += cut;
	g->len -= (uint32_t)cut;
}

const char *capture_assemble(struct stream *s)
{
	int64_t have = 0;
	size_t i;

	s->bytes = or_die(malloc((size_t)s->end + 1));
	if (s->count)
		qsort(s->segments, s->count, sizeof(*s->segments), by_offset);
	for (i = 0; i < s->count; i++) {
		struct segment *g = &s->segments[i];
		int64_t again;

		trim_front(g);
		if (g->off > have)
			return "bytes are missing from the capture";
		again = have - g->off < g->len ? have - g->off : g->len;
		if (memcmp(s->bytes + g->off, g->data, (size_t)again))
			return "a retransmission carries other bytes than the first transmission";
		memcpy(s->bytes + have, g->data + again, (size_t)(g->len - again));
		have += g->len - again;
	}
	if (s->fin && s->fin_off > s->end)
		return "the last bytes are missing from the capture";
	if (s->acked > s->end + s->fin)
		return "the peer acknowledged bytes that are not in the capture";
	return NULL;
}
