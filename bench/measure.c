// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The CPU clock of a process can be read from outside: the client reads both ends'. */
#define _GNU_SOURCE
#include "ends.h"
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEPT ((size_t)1 << 22) /* latencies */

static uint32_t *latencies;
static size_t n_latencies;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	NEED(!clock_gettime(id, &t));
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

uint64_t now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t wire_bytes(int fd)
{
	struct tcp_info info;
	socklen_t len;

	for (;;) {
		len = sizeof(info);
		NEED(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
		if (!info.tcpi_notsent_bytes)
			return info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
		usleep(1000);
	}
}

static double cpu_of(pid_t pid)
{
	clockid_t id;

	NEED(!clock_getcpuclockid(pid, &id));
	return read_clock(id) / 1e9;
}

/* What the whole machine has worked, interrupts and all other processes among it. */
static double machine_seconds(void)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq;
	FILE *f = fopen("/proc/stat", "r");

	NEED(f);
	NEED(fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
		    &iowait, &irq, &softirq) == 7);
	fclose(f);
	return (double)(user + nice + system + irq + softirq) / sysconf(_SC_CLK_TCK);
}

static void take(struct sample *s, pid_t server, double sign)
{
	s->client += sign * read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
	s->server += sign * cpu_of(server);
	s->machine += sign * machine_seconds();
	s->wall += sign * now_ns() / 1e9;
}

void measure_start(struct sample *s, pid_t server, uint64_t bytes, uint64_t messages)
{
	*s = (struct sample){ .bytes = -bytes, .messages = -messages };
	take(s, server, -1);
}

void measure_stop(struct sample *s, pid_t server, uint64_t bytes, uint64_t messages)
{
	take(s, server, 1);
	s->bytes += bytes;
	s->messages += messages;
}

void latency_add(uint64_t ns)
{
	if (!latencies)
		NEED(latencies = malloc(KEPT * sizeof(*latencies)));
	if (n_latencies < KEPT)
		latencies[n_latencies++] = ns > UINT32_MAX ? UINT32_MAX : ns;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double percentile(double share)
{
	return latencies[(size_t)(share * (n_latencies - 1))] / 1e3;
}

void latency_print(FILE *f)
{
	if (!n_latencies)
		return;
	qsort(latencies, n_latencies, sizeof(*latencies), by_value);
	fprintf(f, ", \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f", percentile(0.5),
		percentile(0.99), percentile(0.999));
}

void latency_clear(void)
{
	n_latencies = 0;
}
