/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the environment asks for: TLSULP_MODE and TLSULP_AEAD (tlsulp(1)).
 */
#ifndef TLSULP_CLI_SETTINGS_H
#define TLSULP_CLI_SETTINGS_H

#include <stdbool.h>

/* NULL: not set. */
const char *settings_mode(void);
const char *settings_aead(void);

bool settings_mode_is_known(const char *mode);
bool settings_aead_is_known(void); /* or not set */

#define SETTINGS_MODES "auto, user or kernel"
#define SETTINGS_AEADS "ipsec-mb, libcrypto or libgcrypt"
#define SETTINGS_NO_KERNEL_ULP                                                                     \
	"this kernel has no TLS ULP, and %s allows no other: load it (modprobe tls), or use "      \
	"--mode=auto"

#endif
