// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/rundir.h"

#define CANDIDATES 4

static bool region_ok(const struct stat_region *r)
{
	return r->magic == STAT_MAGIC && r->version == STAT_VERSION;
}

/* Read, not mapped: a file that shrinks meanwhile must not kill the reader with SIGBUS. */
static bool read_whole(int fd, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done, done);

		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

int tree_read(int dirfd, const char *name, uid_t uid, struct stat_region **region)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat_region *r;
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	r = malloc(sizeof(*r));
	if (!r)
		err = -ENOMEM;
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != uid && st.st_uid != 0))
		err = -EACCES;
	else if (!read_whole(fd, r, sizeof(*r)) || !region_ok(r))
		err = -EPROTO;
	close(fd);
	if (err) {
		free(r);
		return err;
	}
	*region = r;
	return 0;
}

bool tree_alive(const struct stat_region *region)
{
	if (proc_alive(region->root_pid, region->root_start))
		return true;
	for (int i = 0; i < STAT_PROCS; i++) {
		const struct stat_proc *p = &region->procs[i];

		if (p->pid && proc_alive(p->pid, p->start))
			return true;
	}
	return false;
}

pid_t tree_head(const struct stat_region *region)
{
	const struct stat_proc *oldest = NULL;

	if (proc_alive(region->root_pid, region->root_start))
		return region->root_pid;
	for (int i = 0; i < STAT_PROCS; i++) {
		const struct stat_proc *p = &region->procs[i];

		if (p->pid && (!oldest || p->start < oldest->start) && proc_alive(p->pid, p->start))
			oldest = p;
	}
	return oldest ? oldest->pid : region->root_pid;
}

bool tree_has(const struct stat_region *region, pid_t pid)
{
	uint64_t start = proc_start(pid);

	if (region->root_pid == (uint32_t)pid && (!start || region->root_start == start))
		return true;
	for (int i = 0; i < STAT_PROCS; i++) {
		const struct stat_proc *p = &region->procs[i];

		if (p->pid == (uint32_t)pid && (!start || !p->start || p->start == start))
			return true;
	}
	return false;
}

void tree_forget(struct stat_region *region, pid_t pid)
{
	if (region->root_pid == (uint32_t)pid)
		region->root_pid = 0;
	for (int i = 0; i < STAT_PROCS; i++) {
		if (region->procs[i].pid == (uint32_t)pid)
			region->procs[i].pid = 0;
	}
}

static void insert(struct tree **trees, struct stat_region *region)
{
	struct tree *t = malloc(sizeof(*t));

	if (!t) {
		free(region);
		return;
	}
	while (*trees && (*trees)->region->root_start <= region->root_start)
		trees = &(*trees)->next;
	t->region = region;
	t->next = *trees;
	*trees = t;
}

static void collect(int dirfd, uid_t uid, struct tree **trees, int *foreign)
{
	DIR *dir = rundir_list(dirfd);
	struct stat_region *region;
	struct dirent *e;
	uint64_t start;
	pid_t pid;

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (!rundir_parse_name(e->d_name, &pid, &start))
			continue;
		switch (tree_read(dirfd, e->d_name, uid, &region)) {
		case 0:
			if (tree_alive(region))
				insert(trees, region);
			else
				free(region);
			break;
		case -EPROTO:
			*foreign += proc_alive(pid, start);
			break;
		default:
			break;
		}
	}
	closedir(dir);
}

/*
 * A service and a login shell of one user choose different directories
 * (XDG_RUNTIME_DIR), so every place that the user's trees can be in is read.
 */
static int candidates(uid_t uid, char (*path)[PATH_MAX])
{
	int n = 0;

	if (uid == geteuid())
		rundir_choose(path[n++], PATH_MAX);
	snprintf(path[n++], PATH_MAX, "/run/user/%u/tlsulp", uid);
	if (uid == 0)
		snprintf(path[n++], PATH_MAX, "/run/tlsulp");
	else
		snprintf(path[n++], PATH_MAX, "/tmp/tlsulp-%u", uid);
	return n;
}

struct tree *trees_of(uid_t uid, int *foreign)
{
	char path[CANDIDATES][PATH_MAX];
	int n = candidates(uid, path);
	struct tree *trees = NULL;

	for (int i = 0; i < n; i++) {
		bool again = false;
		int fd;

		for (int k = 0; k < i; k++)
			again |= !strcmp(path[i], path[k]);
		if (again)
			continue;
		fd = rundir_open(path[i], uid);
		if (fd < 0)
			continue;
		collect(fd, uid, &trees, foreign);
		close(fd);
	}
	return trees;
}

void trees_free(struct tree *trees)
{
	while (trees) {
		struct tree *next = trees->next;

		free(trees->region);
		free(trees);
		trees = next;
	}
}
