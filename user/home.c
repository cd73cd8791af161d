// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/home.h"

#include "user/real.h"
#include "user/say.h"
#include "user/tls_stat.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum mode { MODE_AUTO, MODE_USER, MODE_KERNEL };
enum answer { NOT_ASKED, YES, NO };

static enum mode mode;
static enum answer kernel_has_ulp;
static enum answer kernel_has_key_update;
static enum answer kernel_has_payload_limit; /* TLS_TX_MAX_PAYLOAD_LEN; never YES */
static uint32_t refused; /* a bit for each version and cipher that the kernel lacks */

void home_init(void)
{
	const char *m = getenv("TLSULP_MODE");

	if (m && !strcmp(m, "user"))
		mode = MODE_USER;
	else if (m && !strcmp(m, "kernel"))
		mode = MODE_KERNEL;
	else if (m && *m && strcmp(m, "auto"))
		say("TLSULP_MODE=%.16s is none of auto, user, kernel; taking auto.", m);
}

static bool is_yes(enum answer *known, enum answer (*ask)(void))
{
	enum answer a = __atomic_load_n(known, __ATOMIC_RELAXED);

	if (a == NOT_ASKED) {
		a = ask();
		__atomic_store_n(known, a, __ATOMIC_RELAXED);
	}
	return a == YES;
}

static int put_ulp(int fd)
{
	return real.setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) ? -errno : 0;
}

/* A socket that is not connected cannot get the ULP, and the error tells why. */
static enum answer ask_for_ulp(void)
{
	int fd = real.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return NOT_ASKED;
	err = put_ulp(fd);
	real.close(fd);
	return err == -ENOENT ? NO : YES;
}

/* After the ULP was asked for, which may have loaded the module that has the file. */
static enum answer ask_for_key_update(void)
{
	return tls_stat_has_key_update() ? YES : NO;
}

enum session_home home_at_attach(void)
{
	if (mode == MODE_KERNEL)
		return SESSION_KERNEL;
	return mode == MODE_AUTO && is_yes(&kernel_has_ulp, ask_for_ulp) ? SESSION_OPEN
									 : SESSION_USER;
}

bool home_kernel_is_possible(void)
{
	return __atomic_load_n(&kernel_has_ulp, __ATOMIC_RELAXED) != NO;
}

/* Errors of the moment. Others say that the kernel does not do this. */
static bool is_passing(int err)
{
	return err == -ENOMEM || err == -ENOBUFS || err == -EINTR || err == -EAGAIN ||
	       err == -EBUSY;
}

static uint32_t bit_of(const struct tls_keys *keys)
{
	return 1u << ((keys->version == TLSULP_VERSION_1_3 ? 16 : 0) + keys->cipher -
		      TLSULP_AES_GCM_128);
}

/* What is known to be for us, without touching the socket. */
static bool is_for_us(const struct session *s, const struct tls_keys *keys)
{
	if (__atomic_load_n(&refused, __ATOMIC_RELAXED) & bit_of(keys))
		return true;
	/* A peer may ask for a key update at any time: without it a session is not served whole. */
	if (keys->version == TLSULP_VERSION_1_3 &&
	    !is_yes(&kernel_has_key_update, ask_for_key_update))
		return true;
	return s->tx.engine.max_payload != TLS_PAYLOAD_MAX &&
	       __atomic_load_n(&kernel_has_payload_limit, __ATOMIC_RELAXED) == NO;
}

/* What the program set before the first key. 0, or -errno of the one that the kernel lacks. */
static int carry_options(const struct session *s, int fd)
{
	const struct tls_tx *tx = &s->tx.engine;
	int one = 1;

	if (tx->zerocopy_ro &&
	    real.setsockopt(fd, SOL_TLS, TLSULP_TX_ZEROCOPY_RO, &one, sizeof(one)))
		return -errno;
	if (tx->max_payload == TLS_PAYLOAD_MAX ||
	    !real.setsockopt(fd, SOL_TLS, TLSULP_TX_MAX_PAYLOAD_LEN, &tx->max_payload,
			     sizeof(tx->max_payload)))
		return 0;
	if (errno == ENOPROTOOPT)
		__atomic_store_n(&kernel_has_payload_limit, NO, __ATOMIC_RELAXED);
	return -errno;
}

/*
 * The session itself is the question: no other socket is needed, and the answer
 * is about this one. What the kernel refuses stays with us, with a ULP beneath
 * that has no keys and passes plain bytes through. That happens once for each
 * cipher in a process, because a refusal is remembered.
 */
int home_choose(struct session *s, int fd, bool tx, const struct tls_keys *keys, const void *info,
		socklen_t len)
{
	int err;

	if (is_for_us(s, keys))
		return 0;
	err = put_ulp(fd);
	/* Ours from an attempt before, or the peer has closed its side since TCP_ULP. */
	if (err && err != -EEXIST)
		return is_passing(err) ? err : 0;
	if (carry_options(s, fd))
		return 0;
	if (!real.setsockopt(fd, SOL_TLS, tx ? TLSULP_TX : TLSULP_RX, info, len)) {
		s->home = SESSION_KERNEL;
		return 1;
	}
	err = -errno;
	if (is_passing(err))
		return err;
	__atomic_or_fetch(&refused, bit_of(keys), __ATOMIC_RELAXED);
	return 0;
}
