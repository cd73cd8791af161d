// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * make-aead NAME: has the kernel's crypto API make the AEAD with that driver's name, as
 * "pcrypt(generic-gcm-aesni)", which it then takes for all who want gcm(aes).
 */
#include <linux/if_alg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_alg name = { .salg_family = AF_ALG, .salg_type = "aead" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);

	if (argc != 2)
		return 2;
	strncpy((char *)name.salg_name, argv[1], sizeof(name.salg_name) - 1);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name))) {
		perror(argv[1]);
		return 1;
	}
	return close(fd);
}
