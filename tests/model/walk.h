/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A walk: calls that a seed draws, on both ends of a connection, each compared
 * with the model. All that a walk knows lies in shared memory, so that a forked
 * child can take some of its steps, or all that are left.
 */
#ifndef TLSULP_TESTS_WALK_H
#define TLSULP_TESTS_WALK_H

#include <sys/types.h>
#include <sys/uio.h>

#include "tests/model/model.h"
#include "tests/unit/openssl_pair.h"

#define CALL_MAX (1u << 20) /* bytes of one call */
#define NUMBERS_MAX 4 /* descriptors of one end */
#define LOG_STEPS 24
#define LOG_LINE 400

enum sabotage { HONEST, FLIP_BYTE, DROP_BYTE, WRONG_EOR, WRONG_ERRNO };

/* Direction i is what end i sends and the other end reads. */
struct walk {
	uint64_t seed, rng;
	uint32_t step, steps, logged;
	bool failed;
	bool streaming[2]; /* another process sends what the model has already */
	enum sabotage sabotage;
	char log[LOG_STEPS][LOG_LINE];

	bool openssl; /* end 1 is OpenSSL's */
	bool small; /* socket buffers that are soon full */
	uint16_t version, cipher;
	uint32_t overhead; /* of a record on the wire */
	bool tx_set[2], rx_set[2]; /* direction i has keys at its sender, its reader */
	bool nonblock[2];
	int watched[2]; /* an epoll set with the first number of this end; -1: none */
	uint32_t lowat[2];
	uint32_t generation[2]; /* of direction i's key at the sender */
	uint32_t opened[2]; /* the same at the reader */
	uint64_t closed_before[2]; /* records before this generation */
	uint64_t received_before[2]; /* the reader's bytes before the first record */
	struct openssl_pair pair;
	uint64_t given; /* direction 1 with OpenSSL: bytes put into the socket */
	uint32_t wire[MODEL_RECORDS]; /* each of its records on the wire */
	uint64_t popped, popped_wire; /* of its records: read whole */
	uint32_t alerts; /* since the last data: OpenSSL takes five */
	struct model dir[2];

	uint64_t total_steps, exact, loose, bytes, walks, forks, updates;
};

extern struct walk *w;
extern bool in_child; /* a forked child takes some steps: OpenSSL's state stays with its parent */

/* The numbers that this process has of an end. */
struct numbers {
	int fd[NUMBERS_MAX], count;
};

extern struct numbers ends[2];

/* ---- walk.c ---- */

uint64_t draw(uint64_t below);
bool one_in(unsigned int n);
size_t draw_size(size_t max);
void fill_drawn(uint8_t *p, size_t n);
void note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a new step */
void note_more(const char *format, ...) __attribute__((format(printf, 1, 2)));
void differ(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* @what of a call that must fail whatever the state is. */
void must_fail(const char *what, ssize_t ret, int want);
void walk_steps(uint32_t until);
const char *error_name(int err);

/* ---- link.c ---- */

void link_open(void);
void link_close(void);
int any_fd(int end);
void set_tx_key(int dir);
void set_rx_key(int dir);
bool has_new_rx_key(int dir);

/* Records of @dir in the reader's queue: these and no others if @settled, else at most these. */
struct there {
	uint32_t count;
	bool settled;
};

struct there link_there(int dir);
size_t key_struct(int dir, uint32_t generation, uint64_t seq, uint8_t *info);
/* A pipe that stays, for calls of splice() alone; end_kept_pipe() after any other call. */
int *kept_pipe(void);
void end_kept_pipe(void);
bool has_room(int dir, size_t more); /* the socket surely takes so much */

/* ---- the steps ---- */

#define VECTOR_MAX 1024

/* The room of @n bytes at @p in up to VECTOR_MAX drawn parts, some of them empty. */
int split_vector(struct iovec *iov, uint8_t *p, size_t n);

/* CALL_MAX bytes end here, and a page that may not be touched begins. */
uint8_t *border(void);

/* sends.c */
void step_send(int end);
void step_sendmmsg(int end);
void step_sendfile(int end);
void step_splice_in(int end);
void step_control(int end);
void step_key_update(int end);
void step_bad_send(int end);
bool send_plan(int end); /* the model has it: stream_send() then does it */
void stream_send(int end);

/* recvs.c */
void step_recv(int end);
void step_recvmmsg(int end);
void step_splice_out(int end);
void step_bad_recv(int end);
void step_poll(int end);

/* states.c */
void step_rx_key(int end);
void step_option(int end);
void step_bad_option(int end);
void step_numbers(int end);
void step_child(int end);
void step_hand_over(int end);
void step_stream(int end);
void step_shutdown(int end);
void watch(int end); /* with an epoll set, from now on */
void finish(void); /* both directions end, and all has arrived */

/* ---- peer.c: OpenSSL's end ---- */

void peer_setup(void);
void peer_send(void);
void peer_pump(size_t n);
void peer_take(void);
void peer_fill(void); /* into OpenSSL's memory what the socket has */
void peer_key_update(void);
void peer_shutdown(void);
bool peer_has_pending(void);

#endif
