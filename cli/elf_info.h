/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an ELF file says of itself, read by hand: nothing of the file is run,
 * and every offset in it is checked against the file's size.
 */
#ifndef TLSULP_CLI_ELF_INFO_H
#define TLSULP_CLI_ELF_INFO_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define ELF_NEEDED_MAX 64
#define ELF_NAME_MAX 128

struct elf_info {
	uint8_t class; /* ELFCLASS32, ELFCLASS64 */
	uint8_t data; /* ELFDATA2LSB, ELFDATA2MSB */
	uint16_t machine; /* EM_* */
	bool native; /* class, data and machine are those of this program */
	/* The rest is only filled in for native files. */
	bool go; /* made by the Go compiler */
	char interp[PATH_MAX]; /* "": static */
	int needed_cnt;
	char needed[ELF_NEEDED_MAX][ELF_NAME_MAX]; /* longer names are left out */
};

/* Returns 0, -ENOEXEC (not an ELF file), -EBADMSG (a damaged one) or -errno. */
int elf_read(const char *path, struct elf_info *info);

/* The first needed library whose name begins with @prefix, or NULL. */
const char *elf_needs(const struct elf_info *info, const char *prefix);

#endif
