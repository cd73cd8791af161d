// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "ends.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
	"Usage: ends [OPTION...] tcp|zerocopy|tlsulp|openssl|gnutls SCENARIO\n"
	"One measured run; the result is a line of JSON. Scenarios, from the client's side:\n"
	"  send, sendfile, splice, pipe, vector, more: the server reads what is on the wire\n"
	"  (splice: of a file, which OpenSSL and GnuTLS read; pipe: of bytes that come in one)\n"
	"  receive: as send, and the server opens the records\n"
	"  echo, rr: the client waits for each message's answer; echo: with splice()\n"
	"  --size BYTES (16384)  --connections N (1)  --seconds S (0.3)\n"
	"  --cipher NAME (aes-128-gcm)  --tls 12|13 (13)  --certificate FILE (with its key)\n"
	"  --sndbuf BYTES: of the client  --pause MICROSECONDS: the server, after each message\n"
	"  --open: the server opens the records in every scenario\n"
	"  --verify: and every byte is compared\n"
	"  --near-cpu N --far-cpu N: of client and server, once they have connected\n"
	"  --host ADDRESS  --near FILE --far FILE: network namespaces of client and server\n";

const unsigned char *pattern;

static struct plan plan = { .host = "127.0.0.1",
			    .tls = 13,
			    .connections = 1,
			    .size = 16384,
			    .seconds = 0.3,
			    .near_cpu = -1,
			    .far_cpu = -1 };
static const struct layer *layer;
static struct end *ends;

void give_up(const char *what)
{
	fprintf(stderr, "ends: %s %s: %s: %s\n", plan.contender, plan.scenario, what,
		strerror(errno));
	exit(2);
}

bool is_pattern(uint64_t position, const void *bytes, size_t n)
{
	return !memcmp(pattern + position % PERIOD, bytes, n);
}

static unsigned char *make_pattern(void)
{
	unsigned char *bytes = malloc(PERIOD + LARGEST);
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

	NEED(bytes);
	for (size_t i = 0; i < PERIOD; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(bytes + i, &x, 8);
	}
	memcpy(bytes + PERIOD, bytes, LARGEST);
	return bytes;
}

static void complain(void)
{
	fputs(usage, stderr);
	exit(2);
}

static void set_option(int option, const char *value)
{
	switch (option) {
	case 's':
		plan.size = strtoul(value, NULL, 0);
		break;
	case 'n':
		plan.connections = atoi(value);
		break;
	case 't':
		plan.seconds = atof(value);
		break;
	case 'c':
		plan.suite = find_suite(value);
		break;
	case 'v':
		plan.tls = atoi(value);
		break;
	case 'k':
		plan.certificate = value;
		break;
	case 'b':
		plan.sndbuf = atoi(value);
		break;
	case 'p':
		plan.pause_us = atoi(value);
		break;
	case 'h':
		plan.host = value;
		break;
	case 'X':
		plan.near_cpu = atoi(value);
		break;
	case 'Y':
		plan.far_cpu = atoi(value);
		break;
	case 'x':
		plan.near_net = value;
		break;
	case 'y':
		plan.far_net = value;
		break;
	case 'V':
		plan.verify = true;
		break;
	case 'o':
		break;
	default:
		complain();
	}
}

static void read_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", 1, 0, 's' },    { "connections", 1, 0, 'n' },
		{ "seconds", 1, 0, 't' }, { "cipher", 1, 0, 'c' },
		{ "tls", 1, 0, 'v' },     { "certificate", 1, 0, 'k' },
		{ "sndbuf", 1, 0, 'b' },  { "pause", 1, 0, 'p' },
		{ "host", 1, 0, 'h' },    { "near", 1, 0, 'x' },
		{ "far", 1, 0, 'y' },     { "near-cpu", 1, 0, 'X' },
		{ "far-cpu", 1, 0, 'Y' }, { "verify", 0, 0, 'V' },
		{ "open", 0, 0, 'o' },    { 0 },
	};
	static const struct layer *layers[] = { &layer_tcp, &layer_zerocopy, &layer_tlsulp,
						&layer_openssl, &layer_gnutls };
	bool open = false;
	int option;

	plan.suite = find_suite("aes-128-gcm");
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		open |= option == 'o' || option == 'V';
		set_option(option, optarg);
	}
	if (argc != optind + 2 || !plan.size || plan.size > LARGEST || plan.connections < 1 ||
	    plan.seconds <= 0 || (plan.tls != 12 && plan.tls != 13))
		complain();
	plan.contender = argv[optind];
	plan.scenario = argv[optind + 1];
	plan.asks = !strcmp(plan.scenario, "echo") || !strcmp(plan.scenario, "rr");
	plan.raw = !open && !plan.asks && strcmp(plan.scenario, "receive");
	for (size_t i = 0; i < sizeof(layers) / sizeof(*layers); i++)
		if (!strcmp(layers[i]->name, plan.contender))
			layer = layers[i];
	if (!layer)
		complain();
}

static void open_all(struct meeting *meeting, int listener, bool server)
{
	NEED(ends = calloc(plan.connections, sizeof(*ends)));
	layer->prepare(&plan, server);
	for (int i = 0; i < plan.connections; i++) {
		ends[i].fd = server ? meet_client(listener) : meet_server(&plan, meeting);
		layer->open(&plan, &ends[i], server);
		ends[i].wire_before = wire_bytes(ends[i].fd);
	}
}

/* The client tells that it has read the clocks by closing @hold. */
static void be_server(struct meeting *meeting, int ready, int hold)
{
	int listener;
	char c = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	enter_network(plan.far_net);
	listener = listen_at(&plan, meeting);
	NEED(write(ready, &c, 1) == 1);
	open_all(meeting, listener, true);
	stay_on(plan.far_cpu);
	server_run(&plan, layer, ends, meeting);
	NEED(!read(hold, &c, 1));
	_exit(0);
}

static uint64_t all_records(void)
{
	uint64_t records = 0;

	for (int i = 0; i < plan.connections; i++)
		records += layer->records(&ends[i]);
	return records;
}

/* The bytes went through the contender: its records were as many as they had to be. */
static uint64_t checked_records(uint64_t sent, uint64_t received)
{
	uint64_t records;

	if (!layer->records)
		return 0;
	records = all_records();
	NEED(records * 16384 >= sent);
	NEED(!plan.raw || received >= sent + records * RECORD_OVERHEAD_MIN);
	return records;
}

static void print(const struct sample *s, uint64_t sent, uint64_t received)
{
	printf("{\"contender\": \"%s\", \"scenario\": \"%s\", \"size\": %zu, \"connections\": %d, "
	       "\"cipher\": \"%s\", \"tls\": %d, \"library\": \"%s\", \"bytes\": %llu, "
	       "\"messages\": %llu, \"client_cpu\": %.6f, \"server_cpu\": %.6f, "
	       "\"machine_cpu\": %.2f, \"wall\": %.6f, \"records\": %llu",
	       plan.contender, plan.scenario, plan.size, plan.connections, plan.suite->name,
	       plan.tls, layer->version(), (unsigned long long)s->bytes,
	       (unsigned long long)s->messages, s->client, s->server, s->machine, s->wall,
	       (unsigned long long)checked_records(sent, received));
	latency_print(stdout);
	printf("}\n");
}

static void finish(struct meeting *meeting, const struct sample *sample, int hold, pid_t server)
{
	uint64_t sent = 0, received = 0;
	int status;

	for (int i = 0; i < plan.connections; i++) {
		sent += ends[i].sent;
		received += ends[i].received;
	}
	if (!plan.asks)
		received = meeting->received;
	NEED(plan.raw ? received >= sent : received == sent);
	NEED(!meeting->wrong);
	print(sample, sent, received);
	for (int i = 0; i < plan.connections; i++)
		shutdown(ends[i].fd, SHUT_WR);
	close(hold);
	NEED(waitpid(server, &status, 0) == server && !status);
	for (int i = 0; i < plan.connections; i++) {
		reset_on_close(ends[i].fd);
		close(ends[i].fd);
	}
}

static void raise_limit(void)
{
	struct rlimit files;

	NEED(!getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max;
	NEED(!setrlimit(RLIMIT_NOFILE, &files));
}

int main(int argc, char **argv)
{
	struct meeting *meeting;
	struct sample sample;
	int ready[2], hold[2];
	pid_t server;
	char c;

	read_arguments(argc, argv);
	raise_limit();
	pattern = make_pattern();
	meeting = mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	NEED(meeting != MAP_FAILED && !pipe(ready) && !pipe(hold));
	NEED((server = fork()) >= 0);
	if (!server) {
		close(hold[1]);
		be_server(meeting, ready[1], hold[0]);
	}
	close(ready[1]);
	close(hold[0]);
	enter_network(plan.near_net);
	NEED(read(ready[0], &c, 1) == 1);
	open_all(meeting, -1, false);
	stay_on(plan.near_cpu);
	client_run(&plan, layer, ends, meeting, &sample, server);
	finish(meeting, &sample, hold[1], server);
	return 0;
}
