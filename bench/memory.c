// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * memory [CONNECTIONS [ROUNDS]]: resident memory of idle connections with keys
 * both ways, and whether opening and closing many leaves anything behind. Each
 * end is a process of its own. Prints JSON; status 1 if an idle connection has
 * more than LIMIT bytes or something grew. Run it under the preload.
 */
#include <arpa/inet.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define LIMIT 8192
#define GROWTH (1 << 20) /* of a heap, over all rounds: less is noise */
#define BATCH 500

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			perror(#what);                                                             \
			exit(2);                                                                   \
		}                                                                                  \
	} while (0)

static int listener, up, down; /* pipes to and from the other process */
static struct sockaddr_in addr = { .sin_family = AF_INET };
static int *fds;

/* Resident bytes of this process, shared memory among them. */
static long resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib = -1;

	CHECK(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "Rss: %ld", &kib) != 1)
		;
	fclose(f);
	CHECK(kib > 0);
	return kib * 1024;
}

static void keys(int fd)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 }, .key = "0123456789abcde"
	};

	CHECK(!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4));
	CHECK(!setsockopt(fd, SOL_TLS, TLS_TX, &info, sizeof(info)));
	CHECK(!setsockopt(fd, SOL_TLS, TLS_RX, &info, sizeof(info)));
}

static void meet(void)
{
	char c = 0;

	CHECK(write(up, &c, 1) == 1 && read(down, &c, 1) == 1);
}

static void open_one(bool server, bool tls, int i)
{
	struct linger reset = { 1, 0 };

	if (server) {
		fds[i] = accept(listener, NULL, NULL);
		CHECK(fds[i] >= 0);
	} else {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(fds[i] >= 0);
		CHECK(!connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)));
		/* No TIME_WAIT: there are fewer ports than rounds. */
		CHECK(!setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
	}
	if (tls)
		keys(fds[i]);
}

static void say(int i, size_t n)
{
	char text[16384] = "hello";

	CHECK(send(fds[i], text, n, 0) == (ssize_t)n);
}

static void hear(int i, size_t n, size_t step)
{
	char text[16384];

	for (size_t at = 0; at < n; at += step)
		CHECK(recv(fds[i], text, step, MSG_WAITALL) == (ssize_t)step);
}

static void talk(bool server, int i, size_t n, size_t step)
{
	if (!server)
		say(i, n);
	hear(i, n, step);
	if (server)
		say(i, n);
}

static void open_all(bool server, bool tls, int n)
{
	for (int i = 0; i < n; i++) {
		open_one(server, tls, i);
		talk(server, i, 5, 5);
	}
	meet();
}

/* The server's end goes last, when it has been reset: nothing stays behind. */
static void close_all(bool server, int n)
{
	if (server)
		meet();
	for (int i = 0; i < n; i++)
		close(fds[i]);
	if (!server)
		meet();
	meet();
}

static int run(bool server, int n, int rounds)
{
	long start, plain, idle, busy, parts, before, after;
	int bad;

	open_all(server, true, 4); /* libraries, arena and stdio are there */
	close_all(server, 4);
	start = resident();
	open_all(server, false, n);
	plain = (resident() - start) / n;
	close_all(server, n);
	start = resident();
	open_all(server, true, n);
	idle = (resident() - start) / n;
	meet();
	for (int i = 0; i < n; i++)
		talk(server, i, 16000, 16000);
	meet();
	busy = (resident() - start) / n;
	meet();
	for (int i = 0; i < n; i++)
		talk(server, i, 16000, 1000); /* each record is kept a while */
	meet();
	parts = (resident() - start) / n;
	meet();
	close_all(server, n);
	open_all(server, true, BATCH);
	close_all(server, BATCH);
	before = resident();
	for (int done = 0; done < rounds; done += BATCH) {
		open_all(server, true, BATCH);
		close_all(server, BATCH);
	}
	after = resident();
	bad = idle > LIMIT || busy > LIMIT || parts > LIMIT || after - before > GROWTH;
	printf("{\"end\": \"%s\", \"connections\": %d, \"plain\": %ld, \"idle\": %ld, "
	       "\"after_records\": %ld, \"after_parts\": %ld, \"rounds\": %d, "
	       "\"growth\": %ld, \"ok\": %s}\n",
	       server ? "server" : "client", n, plain, idle, busy, parts, rounds, after - before,
	       bad ? "false" : "true");
	return bad;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 9000, rounds = argc > 2 ? atoi(argv[2]) : 100000;
	struct rlimit files;
	socklen_t len = sizeof(addr);
	int a[2], b[2], status;
	bool server;
	pid_t child;

	CHECK(!getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max;
	CHECK(!setrlimit(RLIMIT_NOFILE, &files));
	fds = calloc(n > BATCH ? n : BATCH, sizeof(*fds));
	memset(fds, 1, (n > BATCH ? n : BATCH) * sizeof(*fds)); /* resident before it counts */
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 4096));
	CHECK(!getsockname(listener, (struct sockaddr *)&addr, &len));
	CHECK(!pipe(a) && !pipe(b));
	child = fork();
	CHECK(child >= 0);
	server = child != 0;
	up = server ? a[1] : b[1];
	down = server ? b[0] : a[0];
	close(server ? a[0] : a[1]);
	close(server ? b[1] : b[0]);
	if (!server)
		return run(false, n, rounds);
	status = run(true, n, rounds);
	fflush(stdout);
	CHECK(waitpid(child, &n, 0) == child);
	return status || n;
}
