// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/sockopt.h"

#include "engine/options.h"
#include "user/conn.h"
#include "user/fault.h"
#include "user/home.h"
#include "user/real.h"
#include "user/receive.h"
#include "user/scratch.h"
#include "user/stats.h"
#include "user/transmit.h"
#include "user/uring.h"
#include "user/wire.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>

#define TCP_STATE_ESTABLISHED 1

static int result(int err)
{
	if (err)
		errno = -err;
	return err ? -1 : 0;
}

/* ---- TCP_ULP ---- */

static bool is_tls_name(const void *value, socklen_t len)
{
	char name[16] = { 0 };

	if (!value || !len || fault_copy(name, value, len < 15 ? len : 15))
		return false;
	return !strcmp(name, "tls");
}

/* One that the kernel has put on it, in another process perhaps. */
static bool has_kernel_ulp(int fd)
{
	char name[16];
	socklen_t len = sizeof(name);

	return home_kernel_is_possible() &&
	       !real.getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len) && len > 0;
}

/* 0 if @fd is a connected TCP socket without a ULP; else what the kernel would say. */
static int check_socket(int fd)
{
	uint8_t state = 0;
	socklen_t len = sizeof(state);
	int protocol = 0;

	if (has_kernel_ulp(fd))
		return -EEXIST;
	if (real.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len))
		return -errno;
	len = sizeof(protocol);
	if (real.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len))
		return -errno;
	if (protocol != IPPROTO_TCP)
		return -ENOPROTOOPT;
	return state == TCP_STATE_ESTABLISHED ? 0 : -ENOTCONN;
}

static int attach(int fd, enum session_home home)
{
	struct conn *c;
	int err = check_socket(fd);

	if (!err)
		err = uring_check();
	if (!err)
		err = fault_init();
	if (!err)
		err = conn_attach(fd, home);
	if (err)
		return err;
	c = conn_pin(fd);
	if (c) {
		stats_conn_new(c->session, fd);
		conn_unpin(c);
	}
	return 0;
}

/* Does the kernel know a ULP of this name? Asked on a socket that cannot have one yet. */
static bool kernel_knows(const void *value, socklen_t len)
{
	int fd = real.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool unknown = fd < 0 ||
		       (real.setsockopt(fd, IPPROTO_TCP, TCP_ULP, value, len) && errno == ENOENT);

	if (fd >= 0)
		real.close(fd);
	return !unknown;
}

/* From the start the kernel's, or of another name: no session of ours. */
static int set_kernel_ulp(int fd, const void *value, socklen_t len)
{
	int ret = real.setsockopt(fd, IPPROTO_TCP, TCP_ULP, value, len);

	if (!ret && is_tls_name(value, len))
		stats_kernel_session();
	return ret;
}

static int set_ulp(int fd, const void *value, socklen_t len)
{
	struct conn *c = conn_pin(fd); /* waits, if it is being closed */
	enum session_home home;
	int err;

	if (c) {
		conn_unpin(c);
		return result(is_tls_name(value, len) || kernel_knows(value, len) ? -EEXIST
										  : -ENOENT);
	}
	if (!is_tls_name(value, len))
		return set_kernel_ulp(fd, value, len);
	home = home_at_attach();
	/* The kernel sees what a ring does. */
	if (home == SESSION_KERNEL || (home == SESSION_OPEN && uring_is_here()))
		return set_kernel_ulp(fd, value, len);
	err = attach(fd, home);
	if (err == -ENOMEM && home == SESSION_OPEN)
		return set_kernel_ulp(fd, value, len);
	return result(err);
}

static int put_value(void *value, socklen_t *len, const void *src, size_t n)
{
	socklen_t out = n;

	if (fault_copy(value, src, n) || fault_copy(len, &out, sizeof(out)))
		return -EFAULT;
	return 0;
}

static int get_ulp(void *value, socklen_t *len)
{
	static const char name[16] =
		"tls"; /* TCP_ULP_NAME_MAX, zero filled, as the kernel gives it */
	socklen_t room;

	if (fault_copy(&room, len, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	return put_value(value, len, name, room < sizeof(name) ? room : sizeof(name));
}

/* ---- keys ---- */

static uint32_t rcvbuf_of(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	real.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len);
	return value > 0 ? value : 0;
}

/* What the program set before TLS_RX; from now on the kernel's is ours. */
static uint32_t lowat_of(int fd)
{
	int value = 1;
	socklen_t len = sizeof(value);

	real.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len);
	return value > 0 ? value : 1;
}

static void count_rekey(bool tx, bool ok)
{
	if (tx)
		stats_add(ok ? TLS_STAT_TX_REKEY_OK : TLS_STAT_TX_REKEY_ERROR, 1);
	else
		stats_add(ok ? TLS_STAT_RX_REKEY_OK : TLS_STAT_RX_REKEY_ERROR, 1);
}

/* The AEAD's part of a new key, made before anything changes. */
static int make_key(const struct tls_keys *keys, struct aead_key **out)
{
	return scratch_get() ? aead_key_new(keys->cipher, keys->key, out) : -ENOMEM;
}

static void install_tx(struct conn *c, int fd, const struct tls_keys *keys, struct aead_key *key,
		       bool rekey)
{
	struct session *s = c->session;

	tls_options_set_tx(&s->tx.engine, keys);
	aead_key_free(c->tx_key);
	c->tx_key = key;
	c->tx_key_gen = s->tx.engine.key_gen;
	if (rekey)
		return;
	wire_start(c, fd);
	stats_key_set(s, fd, 1);
}

static void install_rx(struct conn *c, int fd, const struct tls_keys *keys, struct aead_key *key,
		       bool rekey)
{
	struct session *s = c->session;

	tls_options_set_rx(&s->rx.engine, keys);
	aead_key_free(c->rx_key);
	c->rx_key = key;
	c->rx_key_gen = s->rx.engine.key_gen;
	if (!rekey) {
		s->rx.rcvbuf = rcvbuf_of(fd);
		s->rx.lowat_program = s->rx.lowat_now = lowat_of(fd);
		stats_key_set(s, fd, 0);
	}
	receive_settle(c, fd, true);
}

/* A new TX key: what MSG_MORE gathered goes out under the old one. */
static int close_open_record(struct conn *c, int fd)
{
	int err = transmit_open(c, fd, true);

	return err == -EAGAIN ? 0 : err;
}

/* 0, or a negative errno; then nothing has changed. */
static int install(struct conn *c, int fd, bool tx, const struct tls_keys *keys, bool rekey)
{
	struct aead_key *key = NULL;
	int err = make_key(keys, &key);

	if (!err && rekey && tx)
		err = close_open_record(c, fd);
	if (err) {
		aead_key_free(key);
		return err;
	}
	if (tx)
		install_tx(c, fd, keys, key, rekey);
	else
		install_rx(c, fd, keys, key, rekey);
	c->session->home = SESSION_USER;
	return 0;
}

static int set_keys(struct conn *c, int fd, bool tx, const void *value, socklen_t len)
{
	uint8_t info[TLS_KEY_INFO_MAX];
	struct session *s = c->session;
	struct tls_keys *old = tx ? &s->tx.engine.keys : &s->rx.engine.keys;
	struct tls_keys *other = tx ? &s->rx.engine.keys : &s->tx.engine.keys;
	bool is_update = tls_options_is_rekey(old);
	struct tls_keys keys;
	int err, taken = 0;

	if (!value || len < 4)
		return -EINVAL;
	if (old->version && !is_update)
		return -EBUSY;
	if (fault_copy(info, value, len < sizeof(info) ? len : sizeof(info)))
		return -EFAULT;
	err = tls_options_keys(old, other, info, len, &keys);
	if (err >= 0 && s->home == SESSION_OPEN)
		err = taken = home_choose(s, fd, tx, &keys, info, len);
	if (err >= 0 && !taken)
		err = install(c, fd, tx, &keys, is_update);
	if (is_update)
		count_rekey(tx, !err);
	explicit_bzero(info, sizeof(info));
	explicit_bzero(&keys, sizeof(keys));
	return err < 0 ? err : 0;
}

static int get_keys(const struct tls_keys *k, void *value, socklen_t *len)
{
	uint8_t info[TLS_KEY_INFO_MAX];
	socklen_t room;
	size_t n;
	int err;

	if (fault_copy(&room, len, sizeof(room)))
		return -EFAULT;
	n = room;
	err = value ? tls_options_get_keys(k, info, &n) : -EINVAL;
	if (!err)
		err = put_value(value, len, info, n);
	explicit_bzero(info, sizeof(info));
	return err;
}

/* ---- the other options of SOL_TLS ---- */

static int set_small(struct conn *c, int name, const void *value, socklen_t len)
{
	struct session *s = c->session;
	uint32_t copy = 0;

	if (!value || len > sizeof(copy))
		return -EINVAL;
	if (fault_copy(&copy, value, len))
		return -EFAULT;
	switch (name) {
	case TLSULP_TX_ZEROCOPY_RO:
		return tls_options_set_zerocopy(&s->tx.engine, &copy, len);
	case TLSULP_RX_EXPECT_NO_PAD:
		return tls_options_set_no_pad(&s->rx.engine, &copy, len);
	default:
		return tls_options_set_max_payload(&s->tx.engine, &copy, len);
	}
}

static int get_small(struct conn *c, int name, void *value, socklen_t *len)
{
	struct session *s = c->session;
	socklen_t room;
	int flag;

	if (fault_copy(&room, len, sizeof(room)))
		return -EFAULT;
	switch (name) {
	case TLSULP_TX_ZEROCOPY_RO:
		flag = s->tx.engine.zerocopy_ro;
		return room == sizeof(flag) ? put_value(value, len, &flag, sizeof(flag)) : -EINVAL;
	case TLSULP_RX_EXPECT_NO_PAD:
		flag = tls_options_get_no_pad(&s->rx.engine, room);
		return flag < 0 ? flag : put_value(value, len, &flag, sizeof(flag));
	default:
		if (room < sizeof(s->tx.engine.max_payload))
			return -EINVAL;
		return put_value(value, len, &s->tx.engine.max_payload,
				 sizeof(s->tx.engine.max_payload));
	}
}

static int set_tls(struct conn *c, int fd, int name, const void *value, socklen_t len)
{
	switch (name) {
	case TLSULP_TX:
	case TLSULP_RX:
		return set_keys(c, fd, name == TLSULP_TX, value, len);
	case TLSULP_TX_ZEROCOPY_RO:
	case TLSULP_RX_EXPECT_NO_PAD:
	case TLSULP_TX_MAX_PAYLOAD_LEN:
		return set_small(c, name, value, len);
	default:
		return -ENOPROTOOPT;
	}
}

static int get_tls(struct conn *c, int name, void *value, socklen_t *len)
{
	switch (name) {
	case TLSULP_TX:
		return get_keys(&c->session->tx.engine.keys, value, len);
	case TLSULP_RX:
		return get_keys(&c->session->rx.engine.keys, value, len);
	case TLSULP_TX_ZEROCOPY_RO:
	case TLSULP_RX_EXPECT_NO_PAD:
	case TLSULP_TX_MAX_PAYLOAD_LEN:
		return get_small(c, name, value, len);
	default:
		return -ENOPROTOOPT;
	}
}

/* ---- SO_RCVLOWAT, TCP_INQ: the kernel's are ours, the program's are kept and shown ---- */

static int take_int(const void *value, socklen_t len, int *taken)
{
	if (len < sizeof(*taken))
		return -EINVAL;
	return fault_copy(taken, value, sizeof(*taken));
}

static int set_lowat(struct conn *c, const void *value, socklen_t len)
{
	int lowat, err = take_int(value, len, &lowat);

	if (!err)
		c->session->rx.lowat_program = lowat < 0 ? INT32_MAX : lowat ? lowat : 1;
	return err;
}

static int set_inq(struct conn *c, const void *value, socklen_t len)
{
	int inq, err = take_int(value, len, &inq);

	if (!err && (inq < 0 || inq > 1))
		err = -EINVAL;
	if (!err)
		c->session->rx.inq_program = inq;
	return err;
}

static int get_int(void *value, socklen_t *len, int shown)
{
	socklen_t room;

	if (fault_copy(&room, len, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	return put_value(value, len, &shown, room < sizeof(shown) ? room : sizeof(shown));
}

/* ---- dispatch ---- */

static bool lowat_is_ours(struct conn *c, int level, int name)
{
	return level == SOL_SOCKET && name == SO_RCVLOWAT && tls_rx_is_set(&c->session->rx.engine);
}

static bool inq_is_ours(struct conn *c, int level, int name)
{
	return level == IPPROTO_TCP && name == TCP_INQ && c->session->rx.inq;
}

/* Options that are answered here: of the ULP, and those that the kernel has for our use. */
static bool is_ours(struct conn *c, int level, int name)
{
	return level == SOL_TLS || lowat_is_ours(c, level, name) || inq_is_ours(c, level, name);
}

static int set_ours(struct conn *c, int fd, int level, int name, const void *value, socklen_t len)
{
	struct conn_guard g;
	bool was_kernels, is_kernels;
	int err = conn_enter_options(c, fd, &g);

	if (err)
		return result(err);
	was_kernels = conn_is_kernels(c);
	if (!was_kernels && level == SOL_TLS)
		err = set_tls(c, fd, name, value, len);
	else if (!was_kernels && level == SOL_SOCKET)
		err = set_lowat(c, value, len);
	else if (!was_kernels)
		err = set_inq(c, value, len);
	is_kernels = conn_is_kernels(c);
	if (is_kernels && !was_kernels)
		stats_kernel_took(c->session);
	conn_leave_both(c, &g);
	if (is_kernels)
		conn_leave_to_kernel(c, fd);
	if (was_kernels)
		return real.setsockopt(fd, level, name, value, len);
	return result(err);
}

static int get_ours(struct conn *c, int fd, int level, int name, void *value, socklen_t *len)
{
	const struct session_rx *rx = &c->session->rx;
	struct conn_guard g;
	bool is_kernels;
	int err = conn_enter_options(c, fd, &g);

	if (err)
		return result(err);
	is_kernels = conn_is_kernels(c);
	if (!is_kernels && level == SOL_TLS)
		err = get_tls(c, name, value, len);
	else if (!is_kernels && level == SOL_SOCKET)
		err = get_int(value, len, rx->lowat_program ? rx->lowat_program : 1);
	else if (!is_kernels)
		err = get_int(value, len, rx->inq_program);
	conn_leave_both(c, &g);
	if (is_kernels) {
		conn_leave_to_kernel(c, fd);
		return real.getsockopt(fd, level, name, value, len);
	}
	return result(err);
}

static bool is_send_timeout(int name)
{
	return name == SO_SNDTIMEO || name == SO_SNDTIMEO_OLD || name == SO_SNDTIMEO_NEW;
}

int sockopt_set(int fd, int level, int name, const void *value, socklen_t len)
{
	struct conn *c;
	int ret;

	if (level == IPPROTO_TCP && name == TCP_ULP)
		return set_ulp(fd, value, len);
	c = conn_pin(fd);
	if (!c)
		return real.setsockopt(fd, level, name, value, len);
	if (is_ours(c, level, name)) {
		ret = set_ours(c, fd, level, name, value, len);
	} else {
		ret = real.setsockopt(fd, level, name, value, len);
		if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_RCVBUFFORCE))
			c->session->rx.rcvbuf = rcvbuf_of(fd);
		else if (level == SOL_SOCKET && is_send_timeout(name) && !ret)
			patience_changed(conn_session(c));
	}
	conn_unpin(c);
	return ret;
}

int sockopt_get(int fd, int level, int name, void *value, socklen_t *len)
{
	struct conn *c = conn_pin(fd);
	int ret;

	if (!c)
		return real.getsockopt(fd, level, name, value, len);
	if (level == IPPROTO_TCP && name == TCP_ULP)
		ret = result(get_ulp(value, len));
	else if (is_ours(c, level, name))
		ret = get_ours(c, fd, level, name, value, len);
	else
		ret = real.getsockopt(fd, level, name, value, len);
	conn_unpin(c);
	return ret;
}
