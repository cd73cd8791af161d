// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/wire.h"

#include "user/real.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stddef.h>

/* The states of include/net/tcp_states.h in which nothing but data was written. */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE_WAIT 8

#define CHECK_EVERY (64ull << 20)
#define TRIES 16

static bool acked_bytes(int fd, uint64_t *acked, uint8_t *state)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (real.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
	    len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return false;
	*acked = info.tcpi_bytes_acked;
	*state = info.tcpi_state;
	return true;
}

/*
 * Bytes ever written: those acknowledged and those in the queue. The two are
 * read one after the other, so only a pair between two equal readings counts.
 */
static bool written_bytes(int fd, uint64_t *written)
{
	uint64_t before, after;
	uint8_t state;
	int queued;

	if (!acked_bytes(fd, &before, &state))
		return false;
	for (int i = 0; i < TRIES; i++) {
		/* A FIN counts as a byte: only states before ours was sent compare. */
		if (real.ioctl(fd, SIOCOUTQ, &queued) || !acked_bytes(fd, &after, &state) ||
		    (state != STATE_ESTABLISHED && state != STATE_CLOSE_WAIT))
			return false;
		if (before == after) {
			*written = after + queued;
			return true;
		}
		before = after;
	}
	return false;
}

void wire_start(struct conn *c, int fd)
{
	struct session_tx *tx = &c->session->tx;

	__atomic_store_n(&tx->wire_bytes, 0, __ATOMIC_RELAXED);
	tx->wire_checked = 0;
	if (!written_bytes(fd, &tx->wire_base))
		tx->wire_base = UINT64_MAX; /* cannot be told on this kernel */
}

bool wire_check(struct conn *c, int fd)
{
	struct session_tx *tx = &c->session->tx;
	uint64_t written;

	tx->wire_checked = tx->wire_bytes;
	if (tx->wire_base == UINT64_MAX || !tls_tx_is_set(&tx->engine) || c->session->dead ||
	    !written_bytes(fd, &written) || written - tx->wire_base == tx->wire_bytes)
		return true;
	conn_fail(c, fd,
		  "bytes were written to it past libtlsulp (by a raw system call, an io_uring, a "
		  "statically linked library?) and went out unsealed. `tlsulp doctor -- PROGRAM` "
		  "may tell what this program does");
	return false;
}

void wire_check_sometimes(struct conn *c, int fd)
{
	if (c->session->tx.wire_bytes - c->session->tx.wire_checked >= CHECK_EVERY)
		wire_check(c, fd);
}
