/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A pcap file of Ethernet frames as TCP connections: what each end put on the
 * wire, in order and byte by byte. It trusts nothing but the capture.
 *
 * capture_read() maps the file, and the streams point into memory that stays
 * until the process ends. Times are nanoseconds since 1970.
 */
#ifndef CONFORMANCE_CAPTURE_H
#define CONFORMANCE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};

struct segment {
	int64_t off; /* from the first byte of payload */
	uint32_t len;
	const uint8_t *data;
};

/* What one end of a connection sent. */
struct stream {
	bool seen; /* its initial sequence number is known */
	bool fin, rst;
	uint32_t first; /* sequence number of byte 0 */
	int64_t end; /* byte after the last one captured */
	int64_t acked; /* bytes the peer has acknowledged */
	int64_t fin_off;
	struct segment *segments;
	size_t count, room;
	uint8_t *bytes; /* end of them, after capture_assemble() */
};

struct connection {
	struct endpoint client, server;
	uint64_t start; /* of its SYN */
	struct stream out[2]; /* 0: from the client, 1: from the server */
	struct connection *next; /* in the order of their SYNs */
	struct connection *same_hash; /* newest first */
};

struct capture {
	struct connection *connections;
	uint64_t packets;
	uint64_t strays; /* TCP packets of connections whose SYN is not in the capture */
};

/* Exits with a message if the file is not a whole capture. */
void capture_read(struct capture *c, const char *path);

/* The youngest connection between local and peer that began by then, or NULL; side: local's. */
struct connection *capture_find(const struct endpoint *local, const struct endpoint *peer,
				uint64_t then, int *side);

/* Puts the stream together. NULL, or what is wrong: a hole, or two versions of one byte. */
const char *capture_assemble(struct stream *s);

#endif
