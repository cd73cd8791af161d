// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/tree.h"

#define ENVIRON_MAX (1 << 20)

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void print_tree(const struct stat_region *region, bool json)
{
	if (json) {
		report_json(stdout, region);
		return;
	}
	report_counters(stdout, region);
	report_connections(stdout, region);
}

static int print_all(bool json)
{
	int foreign = 0;
	struct tree *trees = trees_of(geteuid(), &foreign);
	const char *sep = "";

	if (json)
		fputs("{\"trees\": [", stdout);
	for (struct tree *t = trees; t; t = t->next) {
		char name[64];

		fputs(sep, stdout);
		if (!json) {
			pid_t head = tree_head(t->region);

			proc_name(head, name, sizeof(name));
			printf("tree %d %s\n", head, name);
		}
		print_tree(t->region, json);
		sep = json ? ", " : "\n";
	}
	if (json)
		fputs("]}\n", stdout);
	if (foreign)
		say("%d running programs were started by another version of tlsulp: use that "
		    "version's 'tlsulp stat' for them, or start them again",
		    foreign);
	if (!trees && !json)
		say("no program of this user runs under tlsulp: start one with "
		    "'tlsulp run -- PROGRAM'");
	trees_free(trees);
	return trees ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool owner_of(pid_t pid, uid_t *uid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) < 0)
		return false;
	*uid = st.st_uid;
	return true;
}

/* @pid is in the tree, or is the `tlsulp run --stat` that waits for it. */
static bool is_asked_for(const struct stat_region *region, pid_t pid)
{
	char name[64];

	if (tree_has(region, pid))
		return true;
	if (!region->root_pid || proc_parent(region->root_pid) != pid)
		return false;
	proc_name(pid, name, sizeof(name));
	return !strcmp(name, "tlsulp");
}

static struct stat_region *find_in_trees(pid_t pid, uid_t uid, int *foreign)
{
	struct tree *trees = trees_of(uid, foreign);
	struct stat_region *found = NULL;

	for (struct tree *t = trees; t; t = t->next) {
		if (is_asked_for(t->region, pid)) {
			free(found);
			found = t->region;
			t->region = NULL;
		}
	}
	trees_free(trees);
	return found;
}

static char *read_environ(pid_t pid, size_t *len)
{
	char path[64];
	char *text = calloc(1, ENVIRON_MAX + 1);
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*len = 0;
	while (text && fd >= 0 && *len < ENVIRON_MAX) {
		ssize_t n = read(fd, text + *len, ENVIRON_MAX - *len);

		if (n <= 0)
			break;
		*len += n;
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/* The last resort, for a run directory that only the program's own environment knows. */
static struct stat_region *find_by_environ(pid_t pid, uid_t uid)
{
	static const char key[] = "TLSULP_STAT=/";
	struct stat_region *region = NULL;
	size_t len;
	char *text = read_environ(pid, &len);

	if (!text)
		return NULL;
	for (size_t at = 0; at < len && !region; at += strlen(text + at) + 1) {
		if (!strncmp(text + at, key, sizeof(key) - 1) &&
		    tree_read(AT_FDCWD, text + at + sizeof(key) - 2, uid, &region) < 0)
			region = NULL;
	}
	free(text);
	return region;
}

static int no_tree(pid_t pid, uid_t uid, int foreign)
{
	if (geteuid() != 0 && uid != geteuid())
		say("process %d belongs to another user: ask as that user, or as root", pid);
	else if (foreign)
		say("process %d may have been started by another version of tlsulp: use that "
		    "version's 'tlsulp stat', or start it again",
		    pid);
	else
		say("process %d does not run under tlsulp, or without statistics: start it with "
		    "'tlsulp run -- PROGRAM'; 'tlsulp stat' without a PID lists what there is",
		    pid);
	return EXIT_FAILURE;
}

static int print_one(pid_t pid, bool json)
{
	struct stat_region *region;
	int foreign = 0;
	uid_t uid;

	if (!owner_of(pid, &uid)) {
		say("there is no process %d: see 'tlsulp stat' without a PID for those there are",
		    pid);
		return EXIT_FAILURE;
	}
	region = find_in_trees(pid, uid, &foreign);
	/* A worker of another user (www-data, say) is in the tree of the root's user. */
	if (!region && uid != geteuid())
		region = find_in_trees(pid, geteuid(), &foreign);
	if (!region)
		region = find_by_environ(pid, uid);
	if (!region)
		return no_tree(pid, uid, foreign);
	if (json)
		fputs("{\"trees\": [", stdout);
	print_tree(region, json);
	if (json)
		fputs("]}\n", stdout);
	free(region);
	return EXIT_SUCCESS;
}

static bool parse_pid(const char *text, pid_t *pid)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	*pid = (pid_t)n;
	return !errno && end != text && !*end && n > 0 && n <= INT_MAX;
}

int stat_main(int argc, char **argv)
{
	bool json = false;
	pid_t pid;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 'h':
			usage_print("stat", false);
			return EXIT_SUCCESS;
		default:
			usage_print("stat", true);
			return EXIT_FAILURE;
		}
	}
	if (optind == argc)
		return print_all(json);
	if (optind + 1 != argc) {
		say("%d process ids are named: give one, or none", argc - optind);
		return EXIT_FAILURE;
	}
	if (!parse_pid(argv[optind], &pid)) {
		say("'%s' is not a process id: give one number, or none", argv[optind]);
		return EXIT_FAILURE;
	}
	return print_one(pid, json);
}
