// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <linux/capability.h>
#include <unistd.h>

#include "cli/cli.h"

#define SCRIPT_HEAD 512
#define DEFAULT_PATH "/bin:/usr/bin"

static int can_run(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int program_find(const char *name, char *path, size_t size)
{
	const char *dir = getenv("PATH");
	int result = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (strchr(name, '/'))
		return snprintf(path, size, "%s", name) < (int)size ? can_run(name) : -ENOENT;
	if (!dir)
		dir = DEFAULT_PATH;
	for (;;) {
		int len = (int)strcspn(dir, ":");
		int err;

		if (snprintf(path, size, "%.*s/%s", len ? len : 1, len ? dir : ".", name) <
		    (int)size) {
			err = can_run(path);
			if (!err)
				return 0;
			/* A directory of PATH that is closed to us says nothing of the file. */
			if (err == -EACCES && access(path, F_OK) == 0)
				result = err;
		}
		if (!dir[len])
			return result;
		dir += len + 1;
	}
}

static bool set_id(const struct stat *st)
{
	return (st->st_mode & S_ISUID) ||
	       (st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
}

static bool set_id_for_us(const struct stat *st)
{
	if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
		return true;
	return (st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getgid();
}

static bool has_caps(const char *path)
{
	struct vfs_ns_cap_data caps;
	ssize_t len = getxattr(path, "security.capability", &caps, sizeof(caps));
	int words = len >= (ssize_t)XATTR_CAPS_SZ_2 ? 2 : 1;

	if (len < (ssize_t)XATTR_CAPS_SZ_1)
		return false;
	for (int i = 0; i < words; i++) {
		if (caps.data[i].permitted)
			return true;
	}
	return false;
}

/* The kernel ignores these bits on such a file system, and after PR_SET_NO_NEW_PRIVS. */
static bool privileges_ignored(const char *path)
{
	struct statvfs fs;

	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	       (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID));
}

static enum verdict check_privileges(struct program *p, const char *path)
{
	struct stat st;
	bool caps = has_caps(path);

	if (stat(path, &st) < 0)
		return VERDICT_OK;
	p->privileged = set_id(&st) || caps;
	if (!p->privileged || privileges_ignored(path))
		return VERDICT_OK;
	if (set_id_for_us(&st))
		return VERDICT_SETID;
	return caps && getuid() != 0 ? VERDICT_CAPS : VERDICT_OK;
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The dynamic loader's file name is what tells one libc from another. */
static bool same_libc(const struct elf_info *elf)
{
	struct elf_info own;

	return elf_read("/proc/self/exe", &own) == 0 && own.interp[0] &&
	       !strcmp(base(own.interp), base(elf->interp));
}

static enum verdict check_elf(const struct elf_info *elf)
{
	if (!elf->native)
		return VERDICT_ARCH;
	if (elf->go)
		return VERDICT_GO;
	if (!elf->interp[0])
		return VERDICT_STATIC;
	return same_libc(elf) ? VERDICT_OK : VERDICT_LIBC;
}

/* env(1) runs the program that follows its own options and assignments. */
static bool env_target(char *args, char *out, size_t size)
{
	char *save = NULL;

	for (char *w = strtok_r(args, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (w[0] != '-' && !strchr(w, '='))
			return program_find(w, out, size) == 0;
	}
	return false;
}

static bool read_head(const char *path, char *head, size_t size)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, head, size - 1);

	if (fd >= 0)
		close(fd);
	head[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* Append the interpreter of the script that is the last step. */
static bool follow_script(struct program *p)
{
	char head[SCRIPT_HEAD];
	char *interp, *args;

	if (p->steps == PROGRAM_STEPS || !read_head(program_last(p), head, sizeof(head)))
		return false;
	if (strncmp(head, "#!", 2)) {
		/* execvp() gives a text without #! to the shell. */
		strcpy(p->path[p->steps++], "/bin/sh");
		return true;
	}
	head[strcspn(head, "\n")] = '\0';
	interp = head + 2 + strspn(head + 2, " \t");
	args = interp + strcspn(interp, " \t");
	if (*args)
		*args++ = '\0';
	snprintf(p->path[p->steps++], PATH_MAX, "%s", interp);
	if (!strcmp(base(interp), "env") && p->steps < PROGRAM_STEPS &&
	    env_target(args, p->path[p->steps], PATH_MAX))
		p->steps++;
	return true;
}

static enum verdict verdict_of_error(int err)
{
	return err == -EBADMSG ? VERDICT_DAMAGED : VERDICT_UNREADABLE;
}

void program_inspect(const char *path, struct program *p)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->path[p->steps++], PATH_MAX, "%s", path);
	for (;;) {
		int err = elf_read(program_last(p), &p->elf);

		if (err == -ENOEXEC && follow_script(p))
			continue;
		/* A file that can be run but not read may well be set-user-ID. */
		p->verdict = check_privileges(p, program_last(p));
		if (p->verdict == VERDICT_OK)
			p->verdict = err ? verdict_of_error(err) : check_elf(&p->elf);
		return;
	}
}

const char *program_why(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_OK:
		return "can be preloaded";
	case VERDICT_UNREADABLE:
		return "cannot be read, so it is not known whether it can be preloaded";
	case VERDICT_DAMAGED:
		return "is a damaged ELF file";
	case VERDICT_SETID:
		return "is set-user-ID or set-group-ID, and the loader preloads nothing into it";
	case VERDICT_CAPS:
		return "has file capabilities, and the loader preloads nothing into it";
	case VERDICT_ARCH:
		return "is for another architecture than libtlsulp.so";
	case VERDICT_GO:
		return "is a Go program, whose raw system calls pass a preloaded library by";
	case VERDICT_STATIC:
		return "is statically linked, so nothing can be preloaded into it";
	case VERDICT_LIBC:
		return "runs on another C library than libtlsulp.so (musl, for example)";
	}
	return "";
}

#define KERNEL_HOME                                                                                \
	"use a kernel that has the TLS ULP (modprobe tls), which serves every program, and "       \
	"--force"

const char *program_remedy(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_OK:
		return "";
	case VERDICT_UNREADABLE:
		return "ask its owner to make it readable, or run this as its owner";
	case VERDICT_DAMAGED:
		return "install it again";
	case VERDICT_SETID:
		return "run it as the user it changes to, start it through a copy without these "
		       "bits, or " KERNEL_HOME;
	case VERDICT_CAPS:
		return "run it as root, give it the capabilities with capsh or systemd's "
		       "AmbientCapabilities= instead, or " KERNEL_HOME;
	case VERDICT_ARCH:
		return "build tlsulp for that architecture, or " KERNEL_HOME;
	case VERDICT_GO:
		return KERNEL_HOME;
	case VERDICT_STATIC:
		return "take a dynamically linked build of it, or " KERNEL_HOME;
	case VERDICT_LIBC:
		return "take a build of it for glibc, or " KERNEL_HOME;
	}
	return "";
}
