/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How well-known programs and libraries are told to use the TLS ULP.
 */
#ifndef TLSULP_CLI_ADVICE_H
#define TLSULP_CLI_ADVICE_H

#include "cli/program.h"

/* Lines about the TLS libraries that @p links, and how its kTLS is switched on. */
void advice_print(const struct program *p);

#endif
