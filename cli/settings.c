// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/settings.h"

#include <stdlib.h>
#include <string.h>

#include "user/aead/aead.h"

/* An empty variable is as none: that is how systemd and compose files unset one. */
static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

const char *settings_mode(void)
{
	return setting("TLSULP_MODE");
}

bool settings_mode_is_known(const char *mode)
{
	return !strcmp(mode, "auto") || !strcmp(mode, "user") || !strcmp(mode, "kernel");
}

const char *settings_aead(void)
{
	return setting("TLSULP_AEAD");
}

bool settings_aead_is_known(void)
{
	const char *name = settings_aead();

	if (!name)
		return true;
	for (int i = 0; aead_provider_name(i); i++)
		if (!strcmp(name, aead_provider_name(i)))
			return true;
	return false;
}
