// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/tls_stat.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool tls_stat_has_key_update(void)
{
	char text[4096];
	size_t have = 0;
	ssize_t n;
	int fd = open("/proc/net/tls_stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0)
		have += n;
	close(fd);
	text[have] = 0;
	return strstr(text, "TlsTxRekeyOk") && strstr(text, "TlsRxRekeyOk");
}
