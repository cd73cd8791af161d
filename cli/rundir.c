// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/tree.h"

static uintmax_t own_pidns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uintmax_t)st.st_ino : 0;
}

static void name_format(char *name, size_t size, pid_t pid, uint64_t start)
{
	snprintf(name, size, "%ju-%d-%" PRIu64 ".stat", own_pidns(), pid, start);
}

bool rundir_parse_name(const char *name, pid_t *pid, uint64_t *start)
{
	uintmax_t pidns;
	int end = 0;

	return sscanf(name, "%ju-%d-%" SCNu64 ".stat%n", &pidns, pid, start, &end) == 3 &&
	       end > 0 && name[end] == '\0' && pidns == own_pidns();
}

static bool owned(const char *path, uid_t uid)
{
	struct stat st;

	return path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid;
}

void rundir_choose(char *path, size_t size)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (xdg && owned(xdg, geteuid()))
		snprintf(path, size, "%s/tlsulp", xdg);
	else if (geteuid() == 0)
		snprintf(path, size, "/run/tlsulp");
	else
		snprintf(path, size, "/tmp/tlsulp-%u", geteuid());
}

int rundir_open(const char *path, uid_t uid)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_uid == uid && !(st.st_mode & 022))
		return fd;
	close(fd);
	return -1;
}

DIR *rundir_list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

int rundir_make(char *path, size_t size)
{
	int fd;

	rundir_choose(path, size);
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		say("cannot make the run directory %s: %s; set XDG_RUNTIME_DIR to a directory "
		    "of yours that can be written",
		    path, strerror(errno));
		return -1;
	}
	fd = rundir_open(path, geteuid());
	if (fd < 0)
		say("the run directory %s is a symbolic link, not yours, or others can write in "
		    "it: remove it, or set XDG_RUNTIME_DIR to a directory of yours",
		    path);
	return fd;
}

/* Another version's file is left to that version; an empty one belonged to a run that failed. */
static bool is_stale(int dirfd, const char *name)
{
	struct stat_region *region;
	struct stat st;
	uint64_t start;
	bool stale;
	pid_t pid;

	if (!rundir_parse_name(name, &pid, &start) || proc_alive(pid, start))
		return false;
	switch (tree_read(dirfd, name, geteuid(), &region)) {
	case 0:
		stale = !tree_alive(region);
		free(region);
		return stale;
	case -EPROTO:
		return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0;
	default:
		return false;
	}
}

void rundir_sweep(int dirfd)
{
	DIR *dir = rundir_list(dirfd);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (is_stale(dirfd, e->d_name))
			unlinkat(dirfd, e->d_name, 0);
	}
	closedir(dir);
}

/*
 * Blocks are reserved where the file system can: a page that a full tmpfs
 * cannot give would kill the program with SIGBUS on its first count.
 */
static int reserve(int fd)
{
	struct rlimit old, wide;
	int err = 0;

	if (getrlimit(RLIMIT_FSIZE, &old) < 0)
		return -errno;
	wide = old;
	if (old.rlim_cur < sizeof(struct stat_region)) {
		if (old.rlim_max < sizeof(struct stat_region))
			return -EFBIG;
		wide.rlim_cur = sizeof(struct stat_region);
		if (setrlimit(RLIMIT_FSIZE, &wide) < 0)
			return -errno;
	}
	if (fallocate(fd, 0, 0, sizeof(struct stat_region)) < 0)
		err = -errno;
	if (err == -EOPNOTSUPP || err == -ENOSYS)
		err = ftruncate(fd, sizeof(struct stat_region)) < 0 ? -errno : 0;
	setrlimit(RLIMIT_FSIZE, &old);
	return err;
}

static int fill(int fd)
{
	struct {
		uint32_t magic, version, root_pid, conns_lost;
		uint64_t root_start;
	} head = { STAT_MAGIC, STAT_VERSION, getpid(), 0, proc_start(getpid()) };
	int err;

	_Static_assert(sizeof(head) == offsetof(struct stat_region, kernel_sessions),
		       "the first fields of the region");
	err = reserve(fd);
	if (err)
		return err;
	return pwrite(fd, &head, sizeof(head), 0) == sizeof(head) ? 0 : -EIO;
}

static int create_in(int dirfd, const char *name)
{
	struct stat_region *region;
	int fd, err;

	if (tree_read(dirfd, name, geteuid(), &region) == 0) {
		free(region);
		return 0;
	}
	unlinkat(dirfd, name, 0);
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = fill(fd);
	close(fd);
	if (err)
		unlinkat(dirfd, name, 0);
	return err;
}

int rundir_create_stat(char *path, size_t size)
{
	char dir[PATH_MAX - 100], name[100];
	int dirfd = rundir_make(dir, sizeof(dir));
	int err;

	if (dirfd < 0)
		return -1;
	rundir_sweep(dirfd);
	name_format(name, sizeof(name), getpid(), proc_start(getpid()));
	err = create_in(dirfd, name);
	close(dirfd);
	if (err) {
		say("cannot make the statistics file %s/%s: %s; %s", dir, name, strerror(-err),
		    err == -EFBIG ? "raise the limit on file sizes (ulimit -f)"
				  : "free some space there or set XDG_RUNTIME_DIR");
		return -1;
	}
	snprintf(path, size, "%s/%s", dir, name);
	return 0;
}

void rundir_stat_path(pid_t pid, char *path, size_t size)
{
	char dir[PATH_MAX - 100], name[100];

	rundir_choose(dir, sizeof(dir));
	name_format(name, sizeof(name), pid, proc_start(pid));
	if (snprintf(path, size, "%s/%s", dir, name) >= (int)size || access(path, R_OK) < 0)
		path[0] = '\0';
}
