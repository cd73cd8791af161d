// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/elf_info.h"

#define LIBRARY "libtlsulp.so"

static bool readable(const char *path)
{
	return path[0] == '/' && access(path, R_OK) == 0;
}

static bool beside_this_program(char *path, size_t size)
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (len <= 0)
		return false;
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return false;
	slash[1] = '\0';
	return snprintf(path, size, "%s" LIBRARY, exe) < (int)size && readable(path);
}

static bool named_by_user(char *path, size_t size)
{
	static struct elf_info info;
	const char *lib = getenv("TLSULP_LIB");
	char real[PATH_MAX];

	if (!lib || !realpath(lib, real))
		return false;
	if (elf_read(real, &info) || !info.native)
		return false;
	return snprintf(path, size, "%s", real) < (int)size;
}

const char *library_missing(void)
{
	return getenv("TLSULP_LIB")
		       ? "libtlsulp.so was not found, and TLSULP_LIB names no library for this "
			 "machine: build it (make), install it (make install), or correct that"
		       : "libtlsulp.so was not found: build it (make), install it (make install), "
			 "or name it in TLSULP_LIB";
}

/* ld.so splits LD_PRELOAD at these and knows no quoting. */
bool library_preloads(const char *path)
{
	return !strpbrk(path, " :");
}

int library_find(char *path, size_t size)
{
	if (beside_this_program(path, size))
		return 0;
	if (snprintf(path, size, "%s", TLSULP_LIBDIR "/" LIBRARY) < (int)size && readable(path))
		return 0;
	return named_by_user(path, size) ? 0 : -ENOENT;
}
