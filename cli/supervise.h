/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `tlsulp run --stat`: stay with the program, pass signals on to it, and print
 * its counters when it has ended.
 */
#ifndef TLSULP_CLI_SUPERVISE_H
#define TLSULP_CLI_SUPERVISE_H

/*
 * Fork; the child returns @start(@arg) as its exit status if that comes back.
 * Returns the child's exit status; a signal that killed it kills us too.
 */
int supervise(int (*start)(void *arg), void *arg);

#endif
