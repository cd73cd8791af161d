// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/parcel.h"

#include "user/fdtab.h"
#include "user/lock.h"
#include "user/real.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define PARCELS_MAX 65536
#define FIRST_NUMBER 512 /* below are the numbers that programs look for */

struct parcel {
	int fd; /* 0: free */
	uint64_t id;
};

uint32_t parcel_count;

static struct lock list_lock;
static struct parcel *parcels; /* PARCELS_MAX, mapped once */
static uint32_t top; /* no parcel from here on */
static uint64_t hidden[FDTAB_SIZE / 64]; /* by number */

static uint64_t id_of(const struct stat *st)
{
	return (uint64_t)st->st_dev << 48 ^ st->st_ino;
}

uint64_t parcel_id_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : id_of(&st);
}

static void mark(int fd, bool on)
{
	if (on)
		__atomic_or_fetch(&hidden[fd / 64], 1ull << (fd % 64), __ATOMIC_SEQ_CST);
	else
		__atomic_and_fetch(&hidden[fd / 64], ~(1ull << (fd % 64)), __ATOMIC_SEQ_CST);
}

bool parcel_hides(int fd)
{
	return __builtin_expect(__atomic_load_n(&parcel_count, __ATOMIC_RELAXED) != 0, 0) &&
	       (unsigned int)fd < FDTAB_SIZE &&
	       (__atomic_load_n(&hidden[fd / 64], __ATOMIC_RELAXED) >> (fd % 64) & 1);
}

int parcel_next(int fd)
{
	for (; __atomic_load_n(&parcel_count, __ATOMIC_RELAXED) && fd < FDTAB_SIZE; fd++) {
		uint64_t word = __atomic_load_n(&hidden[fd / 64], __ATOMIC_RELAXED) >> (fd % 64);

		if (word)
			return fd + __builtin_ctzll(word);
		fd |= 63;
	}
	return -1;
}

int parcel_step_aside(int fd)
{
	int got = real.fcntl(fd, F_DUPFD_CLOEXEC, FIRST_NUMBER);

	if (got < 0)
		got = real.fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (got >= FDTAB_SIZE) {
		sys_call(SYS_close, got);
		errno = EMFILE;
		got = -1;
	}
	return got < 0 ? -errno : got;
}

static int slot_for(int fd, uint64_t id)
{
	struct lock_guard g;
	int got = -ENOMEM;

	lock_enter(&list_lock, &g);
	if (!parcels) {
		void *p = mmap(NULL, PARCELS_MAX * sizeof(*parcels), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p != MAP_FAILED)
			parcels = p;
	}
	for (uint32_t i = 0; parcels && i < PARCELS_MAX; i++) {
		if (parcels[i].fd)
			continue;
		parcels[i] = (struct parcel){ fd, id };
		top = i < top ? top : i + 1;
		mark(fd, true);
		__atomic_add_fetch(&parcel_count, 1, __ATOMIC_RELEASE);
		got = i + 1;
		break;
	}
	lock_leave(&list_lock, &g);
	return got;
}

int parcel_keep(int fd)
{
	int high = parcel_step_aside(fd);
	int got = high < 0 ? high : slot_for(high, parcel_id_of(high));

	sys_call(SYS_close, fd);
	if (got < 0 && high >= 0)
		sys_call(SYS_close, high);
	return got;
}

/* A file size limit would send SIGXFSZ. */
static bool size_is_allowed(size_t size)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_FSIZE, &limit) && size <= limit.rlim_cur;
}

int parcel_new(size_t size)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, got;

	if (!size_is_allowed(size))
		return -ENOMEM;
	fd = sys_call(SYS_memfd_create, "tlsulp", flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = sys_call(SYS_memfd_create, "tlsulp", flags);
	if (fd < 0)
		return -errno;
	if (!sys_call(SYS_ftruncate, fd, size) && !real.fcntl(fd, F_ADD_SEALS, SEALS))
		return parcel_keep(fd);
	got = -errno;
	sys_call(SYS_close, fd);
	return got;
}

bool parcel_is_one(int fd, struct parcel_head *head)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink)
		return false;
	seals = real.fcntl(fd, F_GET_SEALS);
	return seals >= 0 && (seals & SEALS) == SEALS &&
	       (st.st_uid == geteuid() || !st.st_uid) && /* else its maker could attack us */
	       sys_call(SYS_pread64, fd, head, sizeof(*head), 0) == sizeof(*head) &&
	       head->magic == PARCEL_MAGIC;
}

bool parcel_has_size(int parcel, size_t size)
{
	struct stat st;

	return !fstat(parcel_fd(parcel), &st) && st.st_size == (off_t)size;
}

uint64_t parcel_id(int parcel)
{
	return parcels[parcel - 1].id;
}

int parcel_fd(int parcel)
{
	int fd = __atomic_load_n(&parcels[parcel - 1].fd, __ATOMIC_RELAXED);

	return parcel_id_of(fd) == parcels[parcel - 1].id ? fd : -1;
}

void parcel_drop(int parcel)
{
	struct lock_guard g;
	int fd = parcel_fd(parcel);

	lock_enter(&list_lock, &g);
	mark(parcels[parcel - 1].fd, false);
	parcels[parcel - 1] = (struct parcel){ 0 };
	__atomic_sub_fetch(&parcel_count, 1, __ATOMIC_RELAXED);
	lock_leave(&list_lock, &g);
	if (fd >= 0)
		sys_call(SYS_close, fd);
}

void parcel_after_fork(void)
{
	list_lock = (struct lock){ 0 };
}

void parcel_evade(int fd)
{
	struct lock_guard g;
	int other;

	if (!parcel_hides(fd))
		return;
	lock_enter(&list_lock, &g);
	for (uint32_t i = 0; i < top; i++) {
		if (parcels[i].fd != fd)
			continue;
		other = parcel_id_of(fd) == parcels[i].id ? parcel_step_aside(fd) : -1;
		/* Without another number it is lost: its session cannot go anywhere then. */
		if (other >= 0) {
			/* Another thread may be sending it along with a program just now. */
			if (!real.fcntl(fd, F_GETFD))
				real.fcntl(other, F_SETFD, 0);
			mark(other, true);
			__atomic_store_n(&parcels[i].fd, other, __ATOMIC_RELAXED);
		}
		mark(fd, false);
	}
	lock_leave(&list_lock, &g);
}
