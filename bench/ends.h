/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ends: one measured run. Two processes, one for each end of its connections:
 * the client (the parent, which sends or asks, and measures) and the server.
 *
 *   ends.c       the arguments, the two processes, the result as JSON
 *   transport.c  sockets between the ends
 *   suites.c     the ciphers' names
 *   plain.c, openssl.c, gnutls.c   the contenders, each a struct layer
 *   client.c, server.c   what each end does in a scenario
 *   measure.c    CPU time of both ends and of the machine, wall time, percentiles
 */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define NEED(what)                                                                                 \
	do {                                                                                       \
		if (!(what))                                                                       \
			give_up(#what);                                                            \
	} while (0)
void give_up(const char *what) __attribute__((noreturn));

#define LARGEST ((size_t)1 << 20) /* message */
#define PERIOD ((size_t)4 << 20) /* of the random stream that every connection carries */
#define RECORD_OVERHEAD_MIN 21 /* header and tag */

struct suite {
	const char *name;
	int tls_number; /* TLS_CIPHER_... of linux/tls.h */
	size_t tls_size; /* of its struct there */
	const char *openssl13, *openssl12, *gnutls; /* NULL: it has none */
};

struct plan {
	const char *contender, *scenario, *host, *certificate, *near_net, *far_net;
	const struct suite *suite;
	int tls, connections, sndbuf, pause_us; /* tls: 12 or 13 */
	int near_cpu, far_cpu; /* of client and server; -1: any */
	size_t size;
	double seconds;
	bool verify; /* compare every byte; the times then mean nothing */
	bool raw; /* the server reads what is on the wire, the same for every contender */
	bool asks; /* the client waits for an answer to each message */
};

/* Seen by both ends. */
struct meeting {
	_Atomic int port;
	_Atomic uint64_t received; /* by the server */
	_Atomic bool wrong; /* a byte was not the one that was sent */
};

struct end {
	int fd;
	void *tls;
	uint64_t sent, received; /* plaintext, but for a raw reader */
	uint64_t wire_before; /* of wire_bytes(), when it was opened */
	size_t answered; /* of the message that is answered now */
	uint64_t asked_ns;
};

/*
 * send and recv: as on a socket: > 0, 0 at the end, -1 with EAGAIN. Every other
 * error ends the program.
 */
struct layer {
	const char *name;
	bool is_socket; /* its send, sendfile, splice and vectors are the socket's own calls */
	void (*prepare)(const struct plan *plan, bool server);
	void (*open)(const struct plan *plan, struct end *end, bool server);
	ssize_t (*send)(struct end *end, const void *from, size_t n);
	ssize_t (*recv)(struct end *end, void *into, size_t n);
	bool (*pending)(struct end *end); /* NULL: never */
	uint64_t (*records)(const struct end *); /* sent so far; NULL: it cannot tell */
	const char *(*version)(void);
};
extern const struct layer layer_tcp, layer_zerocopy, layer_tlsulp, layer_openssl, layer_gnutls;

const struct suite *find_suite(const char *name);

/* transport.c */
void stay_on(int cpu);
void enter_network(const char *path); /* a network namespace; NULL: stay */
int listen_at(const struct plan *plan, struct meeting *meeting);
int meet_client(int listener);
int meet_server(const struct plan *plan, struct meeting *meeting);
void shake_hands(int fd, int tls, bool server); /* for who has no handshake of its own */
void set_blocking(int fd, bool blocking);
void reset_on_close(int fd);

/* measure.c */
struct sample {
	double client, server, machine, wall; /* seconds */
	uint64_t bytes, messages;
};
void measure_start(struct sample *sample, pid_t server, uint64_t bytes, uint64_t messages);
void measure_stop(struct sample *sample, pid_t server, uint64_t bytes, uint64_t messages);
uint64_t now_ns(void);
uint64_t wire_bytes(int fd); /* that TCP has sent, when all that was written is */
void latency_clear(void);
void latency_add(uint64_t ns);
void latency_print(FILE *f); /* percentiles, in microseconds */

/* client.c, server.c */
extern const unsigned char *pattern; /* PERIOD bytes, and the first LARGEST of them again */
bool is_pattern(uint64_t position, const void *bytes, size_t n);
void client_run(const struct plan *plan, const struct layer *layer, struct end *ends,
		struct meeting *meeting, struct sample *sample, pid_t server);
void server_run(const struct plan *plan, const struct layer *layer, struct end *ends,
		struct meeting *meeting);
void send_all(const struct layer *layer, struct end *end, const void *from, size_t n);

#endif
