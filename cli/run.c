// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/kernel_probe.h"
#include "cli/program.h"
#include "cli/rundir.h"
#include "cli/settings.h"
#include "cli/supervise.h"

struct run {
	const char *mode; /* NULL: TLSULP_MODE or auto */
	bool stat, force;
	char **argv;
	char path[PATH_MAX];
	char library[PATH_MAX];
};

enum { OPT_MODE = 256, OPT_STAT, OPT_FORCE };

static const struct option options[] = {
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "stat", no_argument, NULL, OPT_STAT },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* Returns -1 to go on, or the exit status. */
static int parse(struct run *r, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_MODE:
			r->mode = optarg;
			break;
		case OPT_STAT:
			r->stat = true;
			break;
		case OPT_FORCE:
			r->force = true;
			break;
		case 'h':
			usage_print("run", false);
			return EXIT_SUCCESS;
		default:
			usage_print("run", true);
			return EXIT_CANNOT_START;
		}
	}
	r->argv = argv + optind;
	if (!r->argv[0]) {
		say("no program is named: give one after 'tlsulp run --'");
		usage_print("run", true);
		return EXIT_CANNOT_START;
	}
	if (!r->mode)
		r->mode = settings_mode();
	if (!r->mode)
		r->mode = "auto";
	if (!settings_mode_is_known(r->mode)) {
		say("there is no mode '%s': use " SETTINGS_MODES, r->mode);
		return EXIT_CANNOT_START;
	}
	if (!settings_aead_is_known()) {
		say("TLSULP_AEAD=%s is no AEAD library: use " SETTINGS_AEADS ", or unset it",
		    settings_aead());
		return EXIT_CANNOT_START;
	}
	return -1;
}

static int find_program(struct run *r)
{
	int err = program_find(r->argv[0], r->path, sizeof(r->path));

	if (!err)
		return -1;
	if (err == -EACCES) {
		say("%s cannot be executed: check its permissions (chmod +x), and that it is "
		    "not a directory",
		    r->argv[0]);
		return EXIT_NOT_EXECUTABLE;
	}
	say("%s was not found: check the name and PATH (/usr/sbin may be missing)", r->argv[0]);
	return EXIT_NOT_FOUND;
}

static int check_program(const struct run *r)
{
	static struct program p;

	program_inspect(r->path, &p);
	if (p.verdict == VERDICT_OK || p.verdict == VERDICT_UNREADABLE)
		return -1;
	say("%s %s: TLS would not be carried by the ULP", program_last(&p), program_why(p.verdict));
	if (r->force)
		return -1;
	say("%s. With --force on a kernel without the ULP it runs on its own TLS",
	    program_remedy(p.verdict));
	return EXIT_NOT_EXECUTABLE;
}

static int find_library(struct run *r)
{
	if (library_find(r->library, sizeof(r->library)) < 0) {
		say("%s", library_missing());
		return EXIT_CANNOT_START;
	}
	if (!library_preloads(r->library)) {
		say("%s: " LIBRARY_PATH_REMEDY, r->library);
		return EXIT_CANNOT_START;
	}
	return -1;
}

/* Ours goes first; a tree inside a tree does not name it twice. */
static bool set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *value = NULL, *words = strdup(old ? old : ""), *save = NULL;
	bool ok = words && asprintf(&value, "%s", library) >= 0;

	for (char *w = ok ? strtok_r(words, " :", &save) : NULL; ok && w;
	     w = strtok_r(NULL, " :", &save)) {
		char *longer = NULL;

		if (!strcmp(w, library))
			continue;
		ok = asprintf(&longer, "%s:%s", value, w) >= 0;
		free(value);
		value = ok ? longer : NULL;
	}
	ok = ok && setenv("LD_PRELOAD", value, 1) == 0;
	free(value);
	free(words);
	return ok;
}

/* The program falls back to its own TLS without a word. */
static void warn_of_no_kernel(const struct run *r)
{
	struct kernel_ulp k;

	if (strcmp(r->mode, "kernel"))
		return;
	kernel_probe(&k);
	if (k.error == -ENOENT)
		say(SETTINGS_NO_KERNEL_ULP, "--mode=kernel");
}

static bool set_environment(const struct run *r)
{
	return setenv("TLSULP_MODE", r->mode, 1) == 0 && set_preload(r->library);
}

/* Counters are worth a warning, not a program that does not start; unless they were asked for. */
static bool set_statistics(bool needed)
{
	char path[PATH_MAX];

	if (rundir_create_stat(path, sizeof(path)) == 0 && setenv("TLSULP_STAT", path, 1) == 0)
		return true;
	unsetenv("TLSULP_STAT");
	if (needed)
		return false;
	say("going on without statistics: 'tlsulp stat' will not show this program");
	return true;
}

static int exec_program(const struct run *r)
{
	int err;

	if (!set_statistics(r->stat))
		return EXIT_CANNOT_START;
	/* The path has a slash in it, so this searches nothing; it gives a text without #! to sh.
	 */
	execvp(r->path, r->argv);
	err = errno;
	say("cannot run %s: %s; check that the file and the interpreter it names are there, and "
	    "that it is a program for this machine",
	    r->path, strerror(err));
	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int exec_in_child(void *arg)
{
	return exec_program(arg);
}

int run_main(int argc, char **argv)
{
	static struct run r;
	int status = parse(&r, argc, argv);

	if (status < 0)
		status = find_program(&r);
	if (status < 0)
		status = check_program(&r);
	if (status < 0)
		status = find_library(&r);
	if (status >= 0)
		return status;
	warn_of_no_kernel(&r);
	if (!set_environment(&r)) {
		say("out of memory: end other programs and try again");
		return EXIT_CANNOT_START;
	}
	return r.stat ? supervise(exec_in_child, &r) : exec_program(&r);
}
