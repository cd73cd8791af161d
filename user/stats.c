// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/stats.h"

#include "user/process.h"
#include "user/real.h"
#include "user/stat.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static struct stat_region *region; /* NULL until one is mapped */
static bool region_is_shown; /* by `tlsulp stat`: it is a file */
static uint64_t region_id; /* tells it from other process trees' */

static struct stat_region *map_file(const char *path)
{
	struct stat_region *r = MAP_FAILED;
	struct stat st;
	int fd = real.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size == sizeof(*r)) {
		region_id = (uint64_t)st.st_dev << 48 ^ st.st_ino;
		r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	real.close(fd);
	if (r == MAP_FAILED)
		return NULL;
	if (r->magic == STAT_MAGIC && r->version == STAT_VERSION)
		return r;
	munmap(r, sizeof(*r));
	return NULL;
}

/* This process is one of the tree. */
static void claim_process(void)
{
	static uint32_t claimed;
	uint32_t pid = process_pid();

	if (claimed == pid)
		return;
	claimed = pid;
	for (int i = 0; i < STAT_PROCS; i++) {
		struct stat_proc *p = &region->procs[i];
		uint32_t was = __atomic_load_n(&p->pid, __ATOMIC_RELAXED);

		if (was == pid)
			return;
		if (was && process_alive(was, p->start))
			continue;
		if (__atomic_compare_exchange_n(&p->pid, &was, pid, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			p->start = process_start(pid);
			return;
		}
	}
}

void stats_init(void)
{
	const char *path = getenv("TLSULP_STAT");

	if (path && *path && !region)
		region = map_file(path);
	region_is_shown = region != NULL;
	if (region_is_shown)
		claim_process();
}

/* Without `tlsulp run` the counters are this process's and its children's alone. */
static struct stat_region *get_region(void)
{
	struct stat_region *r = __atomic_load_n(&region, __ATOMIC_ACQUIRE), *none = NULL;
	uint64_t id, unknown = 0;

	if (r)
		return r;
	if (sys_call(SYS_getrandom, &id, sizeof(id), 0) == sizeof(id))
		__atomic_compare_exchange_n(&region_id, &unknown, id, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r == MAP_FAILED)
		return NULL;
	if (!__atomic_compare_exchange_n(&region, &none, r, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		munmap(r, sizeof(*r));
		r = none;
	}
	return r;
}

void stats_after_fork(void)
{
	if (region_is_shown)
		claim_process();
}

void stats_add(enum tls_stat stat, int64_t n)
{
	struct stat_region *r = get_region();

	if (r)
		__atomic_add_fetch(&r->counters[stat], n, __ATOMIC_RELAXED);
}

uint64_t stats_get(enum tls_stat stat)
{
	struct stat_region *r = get_region();

	return r ? __atomic_load_n(&r->counters[stat], __ATOMIC_RELAXED) : 0;
}

static void fill_address(const struct sockaddr_storage *sa, uint8_t addr[16], uint16_t *port)
{
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		memcpy(addr, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;

		memcpy(addr, &in->sin6_addr, 16);
		*port = ntohs(in->sin6_port);
	}
}

static void fill_line(struct stat_conn *line, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (!getsockname(fd, (struct sockaddr *)&sa, &len)) {
		line->family = sa.ss_family;
		fill_address(&sa, line->local_addr, &line->local_port);
	}
	len = sizeof(sa);
	if (!getpeername(fd, (struct sockaddr *)&sa, &len))
		fill_address(&sa, line->peer_addr, &line->peer_port);
}

/* A line of our own: a free one, or with @dead one whose process is gone. */
static struct stat_conn *claim_line(struct stat_region *r, bool dead)
{
	static uint32_t hint;
	uint32_t pid = process_pid();

	for (uint32_t n = 0; n < STAT_CONNS; n++) {
		uint32_t i = __atomic_fetch_add(&hint, 1, __ATOMIC_RELAXED) % STAT_CONNS;
		uint32_t was = __atomic_load_n(&r->conns[i].owner, __ATOMIC_RELAXED);

		if (was && (!dead || process_alive(was, 0)))
			continue;
		if (__atomic_compare_exchange_n(&r->conns[i].owner, &was, pid, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return &r->conns[i];
	}
	return NULL;
}

/*
 * A free line, or one whose process has died. To look for those takes a while, so
 * where there was none nobody looks again for a second.
 */
static struct stat_conn *find_line(struct stat_region *r)
{
	static int64_t full_until;
	struct stat_conn *line;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec < __atomic_load_n(&full_until, __ATOMIC_RELAXED))
		return NULL;
	line = claim_line(r, false);
	if (!line)
		line = claim_line(r, true);
	if (!line)
		__atomic_store_n(&full_until, now.tv_sec + 1, __ATOMIC_RELAXED);
	return line;
}

void stats_conn_new(struct session *s, int fd)
{
	struct stat_region *r = get_region();
	struct stat_conn *line;

	if (!r)
		return;
	s->stat_region = region_id;
	claim_process();
	line = find_line(r);
	if (!line) {
		__atomic_add_fetch(&r->conns_lost, 1, __ATOMIC_RELAXED);
		return;
	}
	*line = (struct stat_conn){ .owner = process_pid() };
	fill_line(line, fd);
	s->stat_slot = line - r->conns + 1;
}

static void key_of_line(struct stat_conn *line, const struct tls_keys *k, uint8_t *home)
{
	if (!k->version)
		return;
	line->version = k->version;
	line->cipher = k->cipher;
	*home = STAT_HOME_USER;
}

/* @slot is in shared memory, which may be damaged. */
static struct stat_conn *line_at(uint32_t slot)
{
	return slot && slot <= STAT_CONNS ? &region->conns[slot - 1] : NULL;
}

static struct stat_conn *line_of(struct session *s)
{
	return s->stat_region == region_id && region ? line_at(s->stat_slot) : NULL;
}

void stats_key_set(struct session *s, int fd, int tx)
{
	const struct tls_keys *k = tx ? &s->tx.engine.keys : &s->rx.engine.keys;
	struct stat_conn *line = line_of(s);

	stats_add(tx ? TLS_STAT_TX_SW : TLS_STAT_RX_SW, 1);
	stats_add(tx ? TLS_STAT_CURR_TX_SW : TLS_STAT_CURR_RX_SW, 1);
	if (line)
		key_of_line(line, k, tx ? &line->tx_home : &line->rx_home);
}

static void count_current(const struct session *s, int n)
{
	if (tls_tx_is_set(&s->tx.engine))
		stats_add(TLS_STAT_CURR_TX_SW, n);
	if (tls_rx_is_set(&s->rx.engine))
		stats_add(TLS_STAT_CURR_RX_SW, n);
}

void stats_conn_came(struct session *s, int fd)
{
	if (!get_region() || s->stat_region == region_id)
		return;
	s->left_slot = s->stat_slot;
	__atomic_store_n(&s->left_region, s->stat_region, __ATOMIC_RELEASE);
	s->stat_slot = 0;
	stats_conn_new(s, fd);
	count_current(s, 1);
	if (line_of(s)) {
		key_of_line(line_of(s), &s->tx.engine.keys, &line_of(s)->tx_home);
		key_of_line(line_of(s), &s->rx.engine.keys, &line_of(s)->rx_home);
	}
}

void stats_conn_left(struct session *s)
{
	struct stat_conn *line = line_at(s->left_slot);
	uint64_t mine = region_id;

	if (!mine || !__atomic_compare_exchange_n(&s->left_region, &mine, 0, false,
						  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	count_current(s, -1);
	if (line)
		__atomic_store_n(&line->owner, 0, __ATOMIC_RELEASE);
}

void stats_tx(struct session *s, uint64_t records, uint64_t bytes)
{
	struct stat_conn *line = line_of(s);

	if (!line)
		return;
	__atomic_store_n(&line->tx_records, line->tx_records + records, __ATOMIC_RELAXED);
	__atomic_store_n(&line->tx_bytes, line->tx_bytes + bytes, __ATOMIC_RELAXED);
}

void stats_rx(struct session *s, uint64_t records, uint64_t bytes)
{
	struct stat_conn *line = line_of(s);

	if (!line)
		return;
	__atomic_store_n(&line->rx_records, line->rx_records + records, __ATOMIC_RELAXED);
	__atomic_store_n(&line->rx_bytes, line->rx_bytes + bytes, __ATOMIC_RELAXED);
}

void stats_conn_gone(struct session *s)
{
	struct stat_conn *line = line_of(s);

	if (s->counted_out)
		return;
	s->counted_out = true;
	s->stat_slot = 0;
	if (s->stat_region == region_id)
		count_current(s, -1);
	if (line)
		__atomic_store_n(&line->owner, 0, __ATOMIC_RELEASE);
}

void stats_kernel_session(void)
{
	struct stat_region *r = get_region();

	if (r)
		__atomic_add_fetch(&r->kernel_sessions, 1, __ATOMIC_RELAXED);
}

void stats_kernel_took(struct session *s)
{
	stats_conn_gone(s);
	stats_kernel_session();
}
