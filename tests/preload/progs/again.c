// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * again PORT WAY: the program runs itself with an environment of its own, as nginx does at an
 * upgrade, and has the ULP there.
 */
#include <limits.h>

#include "peer.h"

#define TAG 1

int main(int argc, char **argv)
{
	char *const small[] = { "NAME=value", NULL }, *const none[] = { NULL };
	char *const other[] = { "LD_PRELOAD=", NULL };
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	peer_init(argv[1]);
	CHECK(n > 0);
	path[n] = 0;
	if (!strcmp(argv[2], "second")) {
		int fd = peer_tls(TAG);

		CHECK(getenv("TLSULP_MODE") &&
		      !strcmp(getenv("NAME") ? getenv("NAME") : "value", "value"));
		CHECK(write(fd, "ok", 2) == 2);
		return 0;
	}
	if (!strcmp(argv[2], "unset")) {
		unsetenv("LD_PRELOAD");
		execl(path, path, argv[1], "second", NULL);
	}
	execle(path, path, argv[1], "second", NULL,
	       !strcmp(argv[2], "small")  ? small
	       : !strcmp(argv[2], "none") ? none
					  : other);
	die("execle");
}
