/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A tree's counters and connections as text and as JSON.
 */
#ifndef TLSULP_CLI_REPORT_H
#define TLSULP_CLI_REPORT_H

#include <stdio.h>

#include "user/stat.h"

/* As /proc/net/tls_stat prints them. */
void report_counters(FILE *out, const struct stat_region *region);

/* A line each, under a header; those of dead processes are left out. */
void report_connections(FILE *out, const struct stat_region *region);

/* One object with both. */
void report_json(FILE *out, const struct stat_region *region);

#endif
