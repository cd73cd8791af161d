/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reference model: what the contract says that one direction of a connection
 * does, call by call. It knows no wire, no key and no code of the library.
 */
#ifndef TLSULP_TESTS_MODEL_H
#define TLSULP_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_BYTES (4u << 20) /* sent and not yet read, at most */
#define MODEL_RECORDS 16384u
#define MODEL_DATA 23
#define MODEL_HANDSHAKE 22
#define MODEL_KEY_UPDATE 24 /* the first byte of such a handshake record */

struct model_record {
	uint8_t type;
	uint32_t len;
};

/* One direction. The bytes that are not read are those from @out to @in. */
struct model {
	bool key_update; /* TLS 1.3: a KeyUpdate stops the reader */
	bool ended, paused;
	uint32_t limit; /* of a record's bytes */
	uint32_t open; /* bytes that MSG_MORE has gathered */
	uint32_t first, count; /* the records not yet read whole */
	uint32_t off; /* bytes read of the first one */
	uint64_t in, out;
	uint64_t closed; /* records so far */
	struct model_record records[MODEL_RECORDS];
	uint8_t bytes[MODEL_BYTES];
};

/* What a receiving call returns. */
struct model_result {
	int err; /* errno; 0: @n bytes */
	size_t n;
	uint8_t type; /* 0: no record was returned */
	bool record_ends;
};

enum model_control { MODEL_NO_CONTROL, MODEL_TYPE, MODEL_BAD_CONTROL };

struct model_call {
	int flags;
	enum model_control control;
	uint8_t type; /* with MODEL_TYPE: of the record */
	size_t len;
};

/* The errno that a sending call must return, or 0. */
int model_send(const struct model *m, const struct model_call *call);

/*
 * The first @n bytes were accepted. False: a call may not stop there, because
 * only whole records go before a short count.
 */
bool model_sent(struct model *m, const struct model_call *call, const uint8_t *p, size_t n);

/* The open record ends. */
void model_end_record(struct model *m, uint8_t type);

/* The @i-th record that is not yet read whole. */
struct model_record *model_record(struct model *m, uint32_t i);

/* A call with @room for bytes, and for a type if @control, when @there records are there. */
struct model_result model_recv(struct model *m, uint32_t there, size_t room, bool control);

/* The same for splice() to a pipe: data of one record. */
struct model_result model_splice(struct model *m, uint32_t there, size_t room);

/* The @n bytes that come next are those at @p. */
bool model_same(const struct model *m, const uint8_t *p, size_t n);

/* @n bytes were read, of one type. */
void model_take(struct model *m, size_t n);

#endif
