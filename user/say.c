// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/say.h"

#include "user/fdtab.h"
#include "user/process.h"
#include "user/real.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>

void say(const char *format, ...)
{
	char text[512];
	int saved = errno;
	int n = snprintf(text, sizeof(text), "tlsulp[%d]: ", (int)process_pid());
	va_list args;

	va_start(args, format);
	n += vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	if (n > (int)sizeof(text) - 1)
		n = sizeof(text) - 1;
	text[n++] = '\n';
	/* Standard error may be a TLS socket itself: the bare call would put plaintext on it. */
	if (!fdtab_get(2))
		sys_call(SYS_write, 2, text, n);
	errno = saved;
}
