/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How well-known programs and libraries are told to use the TLS ULP.
 */
#ifndef TLSULP_CLI_ADVICE_H
#define TLSULP_CLI_ADVICE_H

#include "cli/program.h"

/* Will it ask for the ULP? */
enum advice {
	ADVICE_NEVER,
	ADVICE_ONCE_ASKED, /* once kTLS is switched on as was printed */
	ADVICE_UNKNOWN,
};

/* Lines about the TLS libraries that @p links, and how its kTLS is switched on. */
enum advice advice_print(const struct program *p);

#endif
