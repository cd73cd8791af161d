// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Linked into the kernel's suite with -Wl,--wrap=poll: its harness waits for a test with poll(),
 * for 30 s at the most, which is too short for an emulated machine where 16 processes share the
 * work. TEST_PATIENCE multiplies waits of that length; the tests' own, shorter ones stay.
 */
#include <poll.h>
#include <stdlib.h>

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const char *patience = getenv("TEST_PATIENCE");

	if (patience && timeout >= 30000)
		timeout *= atoi(patience);
	return __real_poll(fds, count, timeout);
}
