/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCM_RIGHTS: the process that gets a TLS socket so has no session for it and
 * would write plaintext. Until sessions can be handed over, such a message is
 * refused.
 */
#ifndef TLSULP_RIGHTS_H
#define TLSULP_RIGHTS_H

#include <stdbool.h>
#include <sys/socket.h>

/* May @msg be sent? False: errno is EOPNOTSUPP and a word was said. */
bool rights_allow(const struct msghdr *msg);

#endif
