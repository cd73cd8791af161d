// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of /proc/PID/stat, from 1. */
#define PARENT_FIELD 4
#define START_FIELD 22

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

static uint64_t stat_field(pid_t pid, int wanted)
{
	char path[64], text[1024];
	char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_text(path, text, sizeof(text)))
		return 0;
	/* Field 2, the name in parentheses, may hold spaces and parentheses itself. */
	at = strrchr(text, ')');
	for (int field = 2; at && field < wanted; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

uint64_t proc_start(pid_t pid)
{
	return stat_field(pid, START_FIELD);
}

pid_t proc_parent(pid_t pid)
{
	return stat_field(pid, PARENT_FIELD);
}

/* A zombie is alive: its pid cannot be used again, and somebody may still ask for its counters. */
bool proc_alive(pid_t pid, uint64_t start)
{
	uint64_t now;

	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
		return false;
	now = proc_start(pid);
	return !start || !now || now == start;
}

void proc_name(pid_t pid, char *name, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (!read_text(path, name, size))
		snprintf(name, size, "?");
	name[strcspn(name, "\n")] = '\0';
}
