// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * hold 1.2|1.3 [ulp]: a connection with all its keys (or, with "ulp", with the ULP alone), that
 * says "ready", is left alone until standard input ends, and then still has to work.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/guest/pair.h"

int main(int argc, char **argv)
{
	uint16_t version =
		argc > 1 && !strcmp(argv[1], "1.2") ? TLSULP_VERSION_1_2 : TLSULP_VERSION_1_3;
	struct pair p = pair_attached();
	char c;

	if (argc < 3)
		set_all_keys(&p, version, TLSULP_AES_GCM_128);
	printf("ready\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	pass(p.a, p.b, 50000);
	pass_file(p.b, p.a, 50000);
	pair_close(&p);
	return 0;
}
