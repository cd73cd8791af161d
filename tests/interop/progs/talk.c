// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A TLS client or server that does what its standard input says, and says when it is done.
 *
 *   client PORT 1.2|1.3 CIPHERS
 *   server PORT 1.2|1.3 CIPHERS CERT KEY
 *
 * One command a line, one answer a line; "open" is the answer to the handshake:
 *
 *   put FILE CHUNK   send FILE, CHUNK bytes a call                     put BYTES
 *   get BYTES FILE   append so many received bytes to FILE             got UPDATES TICKETS
 *   update           send with the next key                            updated
 *   request          the same, and ask the peer to do so               requested
 *   close            send close_notify                                 closed
 *   end              wait for the peer's close_notify, with no data    ended
 *
 * UPDATES and TICKETS count the messages since the start (peer.h).
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"

#define BLOCK (1 << 20)

static char block[BLOCK];

static int connect_or_accept(bool is_server, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!is_server) {
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
			err(1, "connect");
		return fd;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 1))
		err(1, "listen");
	fd = accept(fd, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
	return fd;
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);

	if (!file)
		err(1, "%s", path);
	return file;
}

static void put(const char *path, size_t chunk)
{
	FILE *file = open_file(path, "r");
	size_t n, total = 0;

	if (!chunk || chunk > sizeof(block))
		errx(1, "put: chunks of 1 to %zu bytes", sizeof(block));
	while ((n = fread(block, 1, chunk, file)) > 0) {
		peer_send(block, n);
		total += n;
	}
	fclose(file);
	printf("put %zu\n", total);
}

static void get(size_t left, const char *path)
{
	FILE *file = open_file(path, "a");
	struct peer_seen seen;

	while (left) {
		size_t n = peer_receive(block, left < sizeof(block) ? left : sizeof(block));

		if (!n)
			errx(1, "the peer closed with %zu bytes to come", left);
		if (fwrite(block, 1, n, file) != n)
			err(1, "%s", path);
		left -= n;
	}
	if (fclose(file))
		err(1, "%s", path);
	seen = peer_seen();
	printf("got %u %u\n", seen.updates, seen.tickets);
}

static void obey(char *line)
{
	const char *name = strtok(line, " \n");
	const char *first = strtok(NULL, " \n");
	const char *second = strtok(NULL, " \n");

	if (name && !strcmp(name, "put") && second) {
		put(first, strtoul(second, NULL, 10));
	} else if (name && !strcmp(name, "get") && second) {
		get(strtoul(first, NULL, 10), second);
	} else if (name && !strcmp(name, "update")) {
		peer_update(false);
		puts("updated");
	} else if (name && !strcmp(name, "request")) {
		peer_update(true);
		puts("requested");
	} else if (name && !strcmp(name, "close")) {
		peer_close();
		puts("closed");
	} else if (name && !strcmp(name, "end")) {
		if (peer_receive(block, sizeof(block)))
			errx(1, "data instead of the end");
		puts("ended");
	} else {
		errx(1, "what is '%s'?", name ? name : "");
	}
}

int main(int argc, char **argv)
{
	struct peer_setup setup = { .is_server = argc > 1 && !strcmp(argv[1], "server") };
	char line[4096];

	if (argc != (setup.is_server ? 7 : 5))
		errx(1, "see the head of talk.c");
	setup.is_tls13 = !strcmp(argv[3], "1.3");
	setup.ciphers = argv[4];
	setup.cert = argv[5];
	setup.key = setup.is_server ? argv[6] : NULL;
	setup.fd = connect_or_accept(setup.is_server, atoi(argv[2]));
	peer_open(&setup);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("open");
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
