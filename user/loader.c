// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/loader.h"

#include "user/real.h"

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SCRIPTS_MAX 4 /* interpreters that are scripts themselves */
#define SEGMENTS_MAX 64

/* As the environment had them at the start: the program may write over that. */
static struct kept {
	const char *name;
	char entry[PATH_MAX + 32];
} kept[] = {
	{ .name = "LD_PRELOAD" },  { .name = "TLSULP_MODE" },     { .name = "TLSULP_STAT" },
	{ .name = "TLSULP_AEAD" }, { .name = "TLSULP_IO_URING" }, { .name = "TLSULP_CHECK" },
};
#define KEPT (sizeof(kept) / sizeof(kept[0]))

static struct stat self; /* the library's file; st_ino 0: not known */
static bool is_linked; /* the program itself asks for it, no LD_PRELOAD */

static const char *value_of(char *const envp[], const char *name)
{
	size_t n = strlen(name);

	for (; envp && *envp; envp++)
		if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

static bool is_self(const char *path, size_t n)
{
	char text[PATH_MAX];
	struct stat st;

	if (!n || n >= sizeof(text))
		return false;
	memcpy(text, path, n);
	text[n] = 0;
	return self.st_ino && !stat(text, &st) && st.st_ino == self.st_ino &&
	       st.st_dev == self.st_dev;
}

/* ld.so(8): the names are separated by colons or spaces. */
static bool is_preloaded(char *const envp[])
{
	const char *list = value_of(envp, "LD_PRELOAD");

	while (list && *list) {
		size_t n = strcspn(list, ": ");

		if (is_self(list, n))
			return true;
		list += n + (list[n] != 0);
	}
	return false;
}

static void keep(struct kept *k)
{
	const char *value = value_of(environ, k->name);
	int n = value ? snprintf(k->entry, sizeof(k->entry), "%s=%s", k->name, value) : 0;

	if (n <= 0 || n >= (int)sizeof(k->entry))
		k->entry[0] = 0;
}

void loader_init(void)
{
	Dl_info info;

	if (!dladdr((void *)loader_init, &info) || stat(info.dli_fname, &self))
		self.st_ino = 0;
	is_linked = !is_preloaded(environ);
	for (size_t i = 0; i < KEPT; i++)
		keep(&kept[i]);
}

/* ---- the file ---- */

static bool runs_here(const struct stat *st)
{
	struct stat own;

	return !stat("/proc/self/exe", &own) && st->st_ino == own.st_ino &&
	       st->st_dev == own.st_dev;
}

static bool is_our_program(int fd)
{
	struct stat st;

	return is_linked && !fstat(fd, &st) && runs_here(&st);
}

/* ld.so looks at LD_PRELOAD only where the program gets no rights by being run. */
static bool gives_rights(int fd)
{
	struct stat st;
	char none;

	return fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_mode & (S_ISUID | S_ISGID)) ||
	       sys_call(SYS_fgetxattr, fd, "security.capability", &none, 0) > 0;
}

/* As this process is, and with a dynamic linker (PT_INTERP). */
static bool is_dynamic(int fd, const ElfW(Ehdr) * head)
{
	extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
	ElfW(Phdr) segments[SEGMENTS_MAX];
	ssize_t size = head->e_phnum * sizeof(segments[0]);

	if (memcmp(head->e_ident, __ehdr_start.e_ident, EI_VERSION) ||
	    head->e_machine != __ehdr_start.e_machine || head->e_phnum > SEGMENTS_MAX ||
	    head->e_phentsize != sizeof(segments[0]) ||
	    sys_call(SYS_pread64, fd, segments, size, head->e_phoff) != size)
		return false;
	for (int i = 0; i < head->e_phnum; i++)
		if (segments[i].p_type == PT_INTERP)
			return true;
	return false;
}

static bool file_loads(int fd, char *const envp[], int scripts);

static bool path_loads(int dir, const char *path, char *const envp[], int scripts)
{
	int fd = sys_call(SYS_openat, dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool loads = fd >= 0 && file_loads(fd, envp, scripts);

	if (fd >= 0)
		sys_call(SYS_close, fd);
	return loads;
}

/* "#! /path/of/interpreter argument" */
static bool script_loads(char *line, char *const envp[], int scripts)
{
	char *path = line + 2 + strspn(line + 2, " \t");

	path[strcspn(path, " \t\n")] = 0;
	return scripts < SCRIPTS_MAX && path_loads(AT_FDCWD, path, envp, scripts + 1);
}

static bool file_loads(int fd, char *const envp[], int scripts)
{
	union {
		ElfW(Ehdr) elf;
		char text[257];
	} head;
	ssize_t n;

	memset(&head, 0, sizeof(head));
	n = gives_rights(fd) ? -1 : sys_call(SYS_pread64, fd, &head, sizeof(head) - 1, 0);
	if (n > 2 && !memcmp(head.text, "#!", 2))
		return script_loads(head.text, envp, scripts);
	return n >= (ssize_t)sizeof(head.elf) && (is_preloaded(envp) || is_our_program(fd)) &&
	       is_dynamic(fd, &head.elf);
}

bool loader_runs_in(int dir, const char *path, char *const envp[])
{
	return self.st_ino && path_loads(dir, path, envp, 0);
}

bool loader_runs_in_fd(int fd, char *const envp[])
{
	return self.st_ino && file_loads(fd, envp, 0);
}

bool loader_runs_in_found(const char *file, char *const envp[])
{
	const char *dirs = value_of(environ, "PATH");
	char path[PATH_MAX];

	if (strchr(file, '/'))
		return loader_runs_in(AT_FDCWD, file, envp);
	for (dirs = dirs ? dirs : "/bin:/usr/bin";; dirs++) {
		size_t n = strcspn(dirs, ":");
		int len =
			snprintf(path, sizeof(path), "%.*s%s%s", (int)n, dirs, n ? "/" : "", file);

		if (len < (int)sizeof(path) && !access(path, X_OK))
			return loader_runs_in(AT_FDCWD, path, envp);
		dirs += n;
		if (!*dirs)
			return false;
	}
}

/* ---- its environment ---- */

char *const *loader_env(const char *path, char *const envp[], char *room[LOADER_ENV_MAX])
{
	struct stat st;
	size_t n = 0;

	if (is_linked || !kept[0].entry[0] || !path || !envp || envp == environ ||
	    stat(path, &st) || !runs_here(&st) || value_of(envp, "LD_PRELOAD"))
		return envp;
	for (; envp[n]; n++) {
		if (n + KEPT + 1 >= LOADER_ENV_MAX)
			return envp;
		room[n] = envp[n];
	}
	for (size_t i = 0; i < KEPT; i++)
		if (kept[i].entry[0] && !value_of(envp, kept[i].name))
			room[n++] = kept[i].entry;
	room[n] = NULL;
	return room;
}

/* ---- other processes ---- */

bool loader_is_in(pid_t pid)
{
	char name[48], line[PATH_MAX + 128], want[64];
	FILE *f;
	bool is = pid == getpid();

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	snprintf(want, sizeof(want), " %lu ", (unsigned long)self.st_ino);
	f = is || !self.st_ino ? NULL : fopen(name, "re");
	while (f && !is && fgets(line, sizeof(line), f))
		is = strstr(line, "/libtlsulp.so") || strstr(line, want);
	if (f)
		real.fclose(f);
	return is;
}
