// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/cli.h"
#include "cli/tree.h"
#include "engine/cipher.h"

#define ADDR_LEN (INET6_ADDRSTRLEN + 9)
#define COLUMNS "%-23s %-23s %-7s %-18s %-7s %-7s %12s %16s %12s %16s\n"

void report_counters(FILE *out, const struct stat_region *region)
{
	for (unsigned int i = 0; i < TLS_STAT_COUNT; i++)
		fprintf(out, "%-32s\t%" PRIu64 "\n", tls_stat_name(i), region->counters[i]);
}

static const struct stat_conn *next_live(const struct stat_region *region, int *i)
{
	while (*i < STAT_CONNS) {
		const struct stat_conn *c = &region->conns[(*i)++];

		if (c->owner && !(kill((pid_t)c->owner, 0) < 0 && errno == ESRCH))
			return c;
	}
	return NULL;
}

static const char *address(const struct stat_conn *c, const uint8_t *addr, uint16_t port,
			   char *text)
{
	char ip[INET6_ADDRSTRLEN];

	if (!inet_ntop(c->family, addr, ip, sizeof(ip)))
		return "-";
	snprintf(text, ADDR_LEN, c->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
	return text;
}

static const char *version_name(const struct stat_conn *c)
{
	switch (c->version) {
	case TLSULP_VERSION_1_2:
		return "1.2";
	case TLSULP_VERSION_1_3:
		return "1.3";
	default:
		return "-";
	}
}

static const char *cipher_name(const struct stat_conn *c)
{
	const struct tls_cipher *cipher = tls_cipher_find(c->cipher);

	return cipher ? cipher->name : "-";
}

static const char *home_name(uint8_t home)
{
	return home == STAT_HOME_USER ? "user" : "-";
}

static const char *number(uint64_t n, char *text)
{
	snprintf(text, 24, "%" PRIu64, n);
	return text;
}

static void print_line(FILE *out, const struct stat_conn *c)
{
	char peer[ADDR_LEN], local[ADDR_LEN], n[4][24];

	fprintf(out, COLUMNS, address(c, c->peer_addr, c->peer_port, peer),
		address(c, c->local_addr, c->local_port, local), version_name(c), cipher_name(c),
		home_name(c->tx_home), home_name(c->rx_home), number(c->tx_records, n[0]),
		number(c->tx_bytes, n[1]), number(c->rx_records, n[2]), number(c->rx_bytes, n[3]));
}

void report_connections(FILE *out, const struct stat_region *region)
{
	const struct stat_conn *c;
	int i = 0;

	fprintf(out, COLUMNS, "peer", "local", "version", "cipher", "tx-home", "rx-home",
		"tx-records", "tx-bytes", "rx-records", "rx-bytes");
	while ((c = next_live(region, &i)))
		print_line(out, c);
	if (region->conns_lost)
		fprintf(out,
			"%u connections found no line here (there is room for %d at a time); "
			"they are in the counters\n",
			region->conns_lost, STAT_CONNS);
	if (region->kernel_sessions)
		fprintf(out,
			"%" PRIu64 " connections got the kernel's own ULP since the start; "
			"/proc/net/tls_stat counts them\n",
			region->kernel_sessions);
}

static void json_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		unsigned char c = *s;

		/* A process name is any bytes; what is not ASCII is given as Latin-1. */
		if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void json_connection(FILE *out, const struct stat_conn *c)
{
	char peer[ADDR_LEN], local[ADDR_LEN];

	fprintf(out, "{\"pid\": %u, \"peer\": \"%s\", \"local\": \"%s\", ", c->owner,
		address(c, c->peer_addr, c->peer_port, peer),
		address(c, c->local_addr, c->local_port, local));
	fprintf(out, "\"version\": \"%s\", \"cipher\": \"%s\", ", version_name(c), cipher_name(c));
	fprintf(out, "\"tx_home\": \"%s\", \"rx_home\": \"%s\", ", home_name(c->tx_home),
		home_name(c->rx_home));
	fprintf(out, "\"tx_records\": %" PRIu64 ", \"tx_bytes\": %" PRIu64 ", ", c->tx_records,
		c->tx_bytes);
	fprintf(out, "\"rx_records\": %" PRIu64 ", \"rx_bytes\": %" PRIu64 "}", c->rx_records,
		c->rx_bytes);
}

void report_json(FILE *out, const struct stat_region *region)
{
	const struct stat_conn *c;
	pid_t head = tree_head(region);
	const char *sep = "";
	char name[64];
	int i = 0;

	proc_name(head, name, sizeof(name));
	fprintf(out, "{\"pid\": %d, \"program\": ", head);
	json_string(out, name);
	fputs(", \"counters\": {", out);
	for (unsigned int k = 0; k < TLS_STAT_COUNT; k++)
		fprintf(out, "%s\"%s\": %" PRIu64, k ? ", " : "", tls_stat_name(k),
			region->counters[k]);
	fputs("}, \"connections\": [", out);
	while ((c = next_live(region, &i))) {
		fputs(sep, out);
		json_connection(out, c);
		sep = ", ";
	}
	fprintf(out, "], \"connections_lost\": %u, \"kernel_connections\": %" PRIu64 "}",
		region->conns_lost, region->kernel_sessions);
}
