/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session is one connection's ULP state, shared by every process that holds
 * the socket, like a file description. It has no pointers in it.
 */
#ifndef TLSULP_SESSION_H
#define TLSULP_SESSION_H

#include "engine/rx.h"
#include "engine/tx.h"
#include "user/arena.h"
#include "user/lock.h"

#define SESSION_MAGIC 0x544c5355u

/* What waits to be sent, under tx_lock. */
struct session_tx {
	struct tls_tx engine;
	uint32_t open_buffer; /* plaintext gathered by MSG_MORE, engine.open_len bytes */
	uint32_t rest_buffer; /* ciphertext that the socket did not take yet */
	uint32_t rest_off, rest_len;
	int pending_error; /* of the socket, met by the linger thread: the next call reports it */
	uint64_t wire_base; /* the kernel's count of bytes written when TLS_TX was set */
	uint64_t wire_bytes; /* bytes that we wrote since */
	uint64_t wire_checked; /* wire_bytes at the last comparison */
};

/* What is known of the record under way, under rx_lock. */
struct session_rx {
	struct tls_rx engine;
	uint32_t buffer; /* body so far, then the plaintext; 0: nothing kept */
	uint32_t body_len; /* of the record whose header is complete; 0: unknown */
	uint32_t body_have; /* bytes of it in buffer */
	bool held; /* buffer holds an opened record: */
	bool tail; /* ... its last body byte is still in the socket's queue, to say "readable" */
	uint8_t held_type;
	uint32_t held_off, held_len; /* plaintext left in buffer */
	uint8_t held_first; /* first plaintext byte of the record, for KeyUpdate */
	uint32_t held_total; /* its whole plaintext length */
	uint32_t ahead_len; /* buffer holds whole records that are still in the queue (ahead.h) */
	uint32_t ahead_off; /* of these were handed out */
	uint8_t ahead_unqueued; /* the first bytes of it are not in the queue any more */
	uint8_t ahead_misses; /* records to be read before the next look for such */
	uint32_t last_len; /* of the last record's body */
	uint32_t taken; /* how often bytes were taken from the queue */
	uint32_t hidden_seq; /* counts the records and errors that became hidden */
	uint32_t waiters; /* calls asleep until bytes come; one that was killed stays counted */
	int pending_error; /* a socket error that came after data: negative errno for the next call
			    */
	uint32_t lowat_program; /* the program's SO_RCVLOWAT; 0: never set */
	uint32_t lowat_now; /* the kernel's; 0: untouched */
	bool inq; /* TCP_INQ is on for us (receive.c) */
	int inq_program; /* the program's, then */
	uint32_t rcvbuf; /* SO_RCVBUF when RX was set: never wait for more than half of it */
};

/* Who serves it (home.h). Open: nobody yet, there is no key. */
enum session_home { SESSION_USER, SESSION_OPEN, SESSION_KERNEL };

/*
 * The locks outlive the session in their slot: a call that comes too late finds
 * a lock it may take and drop, and then another generation.
 */
struct session {
	struct lock tx_lock;
	struct lock rx_lock;
	uint32_t magic; /* from here on wiped when the session ends */
	uint32_t generation; /* of the slot's use */
	uint64_t cookie; /* SO_COOKIE */
	enum session_home home; /* changes under both locks, once */
	uint64_t holders[ARENA_HOLDER_WORDS]; /* bit per arena slot, under arena's lock */
	bool counted_out; /* no more among TlsCurrTxSw and TlsCurrRxSw */
	uint64_t stat_region; /* whose counters it is in, and */
	uint32_t stat_slot; /* its index + 1 into conns there; 0: none */
	uint64_t left_region; /* where it still counts as current, though another took it over */
	uint32_t left_slot;
	uint32_t patience_changes; /* how often sends may have come to wait otherwise; atomic */
	bool dead; /* failed closed: a holder died in a state change, or foreign bytes were seen */
	struct session_tx tx; /* under tx_lock */
	struct session_rx rx; /* under rx_lock */
};

/* Does more than one process hold it (or did, and was killed)? */
static inline bool session_is_shared(const struct session *s)
{
	bool one = false;

	for (int i = 0; i < ARENA_HOLDER_WORDS; i++) {
		uint64_t word = __atomic_load_n(&s->holders[i], __ATOMIC_RELAXED);

		if (word && (one || (word & (word - 1))))
			return true;
		one |= word != 0;
	}
	return false;
}

/*
 * Can all this be? Under tx_lock (rx_lock), on entry: what shared memory says
 * is not trusted further than its own buffers. A session that cannot be is
 * wiped, and fails.
 */
bool session_tx_is_sane(const struct session *s, const struct arena *a);
bool session_rx_is_sane(const struct session *s, const struct arena *a);
void session_wipe(struct session *s);
void session_wipe_keys(struct session *s); /* of a broken socket; without a lock, too */

/* Bytes on the wire: under tx_lock, and without it to see whether this side sends at all. */
static inline void session_wrote(struct session *s, size_t n)
{
	__atomic_store_n(&s->tx.wire_bytes, s->tx.wire_bytes + n, __ATOMIC_RELAXED);
}

static inline uint64_t session_written(const struct session *s)
{
	return __atomic_load_n(&s->tx.wire_bytes, __ATOMIC_RELAXED);
}

/* All its buffers, wiped, back to the arena. */
void session_give_buffers(struct session *s, struct arena *a);

/* The socket's error that the linger thread met, once: negative errno or 0. */
static inline int session_take_error(struct session *s)
{
	return __atomic_exchange_n(&s->tx.pending_error, 0, __ATOMIC_SEQ_CST);
}

#define SESSION_WIPE_FROM offsetof(struct session, magic)

#endif
