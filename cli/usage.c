// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *command;
	const char *text;
} help[] = {
	{ "run", "tlsulp run [--mode auto|user|kernel] [--stat] [--force] [--] PROGRAM [ARG...]\n"
		 "    Run PROGRAM with the TLS upper layer protocol.\n"
		 "      --mode auto    the kernel's ULP where it serves the whole session, else\n"
		 "                     the userspace home (the default)\n"
		 "      --mode user    always the userspace home\n"
		 "      --mode kernel  always the kernel's ULP\n"
		 "      --stat         print the counters to stderr when PROGRAM has ended\n"
		 "      --force        run PROGRAM even if it cannot be preloaded\n"
		 "    The exit status is PROGRAM's; 125: tlsulp failed, 126: PROGRAM cannot be\n"
		 "    run or preloaded, 127: PROGRAM was not found.\n" },
	{ "stat", "tlsulp stat [--json] [PID]\n"
		  "    Print the counters and connections of the process tree that PID belongs\n"
		  "    to, or of each tree of this user, the newest last.\n" },
	{ "doctor", "tlsulp doctor [[--] PROGRAM]\n"
		    "    Say what this machine offers, and what PROGRAM would get.\n"
		    "    The exit status is 0 if TLS would be carried by the ULP, else 1.\n" },
};

void usage_print(const char *command, bool to_stderr)
{
	FILE *out = to_stderr ? stderr : stdout;

	if (!command)
		fputs("The Linux TLS upper layer protocol (kTLS) for unmodified programs.\n\n",
		      out);
	for (size_t i = 0; i < sizeof(help) / sizeof(help[0]); i++) {
		if (!command || !strcmp(command, help[i].command))
			fputs(help[i].text, out);
	}
	if (!command)
		fputs("tlsulp --help | --version\n", out);
}
