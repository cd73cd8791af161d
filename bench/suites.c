// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ends.h"
#include <string.h>

static const struct suite suites[] = {
	{ "aes-128-gcm", 51, 40, "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
	  "AES-128-GCM" },
	{ "aes-256-gcm", 52, 56, "TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
	  "AES-256-GCM" },
	{ "aes-128-ccm", 53, 40, "TLS_AES_128_CCM_SHA256", "ECDHE-ECDSA-AES128-CCM",
	  "AES-128-CCM" },
	{ "chacha20", 54, 56, "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
	  "CHACHA20-POLY1305" },
	{ "sm4-gcm", 55, 40, NULL, NULL, NULL },
	{ "sm4-ccm", 56, 40, NULL, NULL, NULL },
	{ "aria-128-gcm", 57, 40, NULL, "ECDHE-ECDSA-ARIA128-GCM-SHA256", NULL },
	{ "aria-256-gcm", 58, 56, NULL, "ECDHE-ECDSA-ARIA256-GCM-SHA384", NULL },
};

const struct suite *find_suite(const char *name)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++)
		if (!strcmp(suites[i].name, name))
			return &suites[i];
	fprintf(stderr, "ends: no cipher %s: see bench/suites.c\n", name);
	exit(2);
}
