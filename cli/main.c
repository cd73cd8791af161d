// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "run", run_main },
	{ "stat", stat_main },
	{ "doctor", doctor_main },
};

/* Output that did not get out (a full disk, say) must not pass for success. */
static int flushed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	say("cannot write the output: free some space or check the pipe that reads it");
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage_print(NULL, true);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return flushed(commands[i].main(argc - 1, argv + 1));
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage_print(NULL, false);
		return flushed(EXIT_SUCCESS);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("tlsulp %s\n", TLSULP_PROJECT_VERSION);
		return flushed(EXIT_SUCCESS);
	}
	say("there is no command '%s': use run, stat or doctor ('tlsulp --help' explains them)",
	    argv[1]);
	return EXIT_FAILURE;
}
