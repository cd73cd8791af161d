// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Usage: walk [--seed N] [--stride N] [--steps M] [--seconds S] [--sabotage KIND]
 *
 * Walks of M steps from the seeds N, N + stride, ... for S seconds; without
 * --seconds the walk from N alone. Even seeds have the ULP on both ends, odd ones
 * OpenSSL's record layer on the other. The first difference from the model ends it
 * with status 1, and tells how to see it again. With --sabotage the model or what
 * is sent is falsified: that must be noticed.
 */
#include "tests/model/walk.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEP_SECONDS 60
#define PAGE 4096

struct walk *w;
bool in_child;

/* ---- drawing (splitmix64) ---- */

static uint64_t next_random(void)
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t draw(uint64_t below)
{
	return below ? next_random() % below : 0;
}

bool one_in(unsigned int n)
{
	return !draw(n);
}

/* Small ones, those near a record's limit, and now and then all that there may be. */
size_t draw_size(size_t max)
{
	size_t n;

	switch (draw(10)) {
	case 0:
		n = draw(3);
		break;
	case 1:
	case 2:
	case 3:
		n = draw(200);
		break;
	case 4:
	case 5:
		n = draw(5000);
		break;
	case 6:
		n = 16379 + draw(11);
		break;
	case 7:
		n = w->dir[draw(2)].limit * draw(5);
		break;
	case 8:
		n = draw(70000);
		break;
	default:
		n = draw(one_in(3) ? max + 1 : 20000);
	}
	return n < max ? n : max;
}

void fill_drawn(uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t r = next_random();

		memcpy(p, &r, 8);
	}
	while (n--)
		*p++ = next_random();
}

int split_vector(struct iovec *iov, uint8_t *p, size_t n)
{
	int parts = 1 + draw(one_in(4) ? VECTOR_MAX : 5);

	for (int i = 0; i < parts; i++) {
		size_t part = i + 1 == parts ? n : one_in(5) ? 0 : draw(2 * n / (parts - i) + 1);

		part = part < n ? part : n;
		iov[i] = (struct iovec){ p, part };
		p += part;
		n -= part;
	}
	return parts;
}

uint8_t *border(void)
{
	static uint8_t *p;

	if (!p) {
		p = mmap(NULL, CALL_MAX + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		mprotect(p + CALL_MAX, PAGE, PROT_NONE);
	}
	return p + CALL_MAX;
}

/* ---- what happened ---- */

static char *line(uint32_t i)
{
	return w->log[i % LOG_STEPS];
}

void note(const char *format, ...)
{
	va_list args;
	int n;

	alarm(STEP_SECONDS);
	n = snprintf(line(w->logged), LOG_LINE, "step %u%s: ", w->step, in_child ? " (child)" : "");
	va_start(args, format);
	vsnprintf(line(w->logged) + n, LOG_LINE - n, format, args);
	va_end(args);
	w->logged++;
}

void note_more(const char *format, ...)
{
	char *last = line(w->logged - 1);
	size_t n = strlen(last);
	va_list args;

	va_start(args, format);
	vsnprintf(last + n, LOG_LINE - n, format, args);
	va_end(args);
}

static void show_log(void)
{
	uint32_t from = w->logged > LOG_STEPS ? w->logged - LOG_STEPS : 0;

	for (uint32_t i = from; i < w->logged; i++)
		printf("  %s\n", line(i));
}

void differ(const char *format, ...)
{
	va_list args;

	if (w->failed)
		_exit(1);
	w->failed = true;
	printf("walk: DIFFERENCE at seed %llu, step %u:\n", (unsigned long long)w->seed, w->step);
	show_log();
	printf("  ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nreplay: walk --seed %llu --steps %u\n", (unsigned long long)w->seed, w->steps);
	fflush(stdout);
	_exit(1);
}

const char *error_name(int err)
{
	return err ? strerrorname_np(err) : "no error";
}

void must_fail(const char *what, ssize_t ret, int want)
{
	int err = errno;

	note_more(" -> %zd %s", ret, ret < 0 ? error_name(err) : "");
	w->exact++;
	if (ret != -1 || err != want)
		differ("%s: got %zd, %s; model: %s", what, ret, error_name(ret < 0 ? err : 0),
		       error_name(want));
}

static void on_alarm(int sig)
{
	differ("the last step does not come back");
}

/* ---- one walk ---- */

static const struct {
	void (*step)(int end);
	unsigned int weight;
} choices[] = {
	{ step_send, 200 },      { step_sendmmsg, 30 }, { step_sendfile, 40 },
	{ step_splice_in, 50 },  { step_control, 60 },  { step_key_update, 20 },
	{ step_bad_send, 40 },   { step_recv, 300 },    { step_recvmmsg, 40 },
	{ step_splice_out, 60 }, { step_bad_recv, 40 }, { step_poll, 80 },
	{ step_rx_key, 60 },     { step_option, 60 },   { step_bad_option, 20 },
	{ step_numbers, 40 },    { step_child, 15 },    { step_hand_over, 3 },
	{ step_stream, 6 },      { step_shutdown, 2 },
};

static void step_ulp(int e)
{
	unsigned int total = 0, at;
	size_t i;

	for (i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		total += choices[i].weight;
	at = draw(total);
	for (i = 0; at >= choices[i].weight; i++)
		at -= choices[i].weight;
	choices[i].step(e);
}

static void step_openssl(void)
{
	switch (draw(8)) {
	case 0:
	case 1:
		peer_send();
		break;
	case 2:
		note("OpenSSL's bytes");
		peer_pump(draw_size(CALL_MAX));
		break;
	case 3:
		peer_key_update();
		break;
	default:
		peer_take();
	}
}

void walk_steps(uint32_t until)
{
	while (w->step < until && w->step < w->steps) {
		int e = draw(2);

		w->step++;
		w->total_steps++;
		if (!w->openssl || !e)
			step_ulp(e);
		else if (!in_child)
			step_openssl();
	}
}

static void walk(uint64_t seed)
{
	w->seed = w->rng = seed;
	w->step = w->logged = 0;
	w->openssl = seed & 1;
	if (seed / 2 % 4 == 3)
		setenv("TLSULP_AEAD", "libcrypto", 1); /* instead of the fastest one */
	signal(SIGALRM, on_alarm);
	signal(SIGPIPE, SIG_IGN);
	link_open();
	walk_steps(w->steps);
	finish();
	link_close();
}

/* In a process of its own, so that a crash is seen too. */
static bool walk_apart(uint64_t seed)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		walk(seed);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	w->walks++;
	if (!status)
		return true;
	if (!w->failed) {
		w->failed = true;
		printf("walk: seed %llu ended with status %#x\n", (unsigned long long)seed, status);
		show_log();
		printf("replay: walk --seed %llu --steps %u\n", (unsigned long long)seed, w->steps);
	}
	return false;
}

/* ---- many walks ---- */

struct options {
	uint64_t seed, stride;
	double seconds;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static enum sabotage sabotage_of(const char *name)
{
	static const char *const names[] = { "none", "flip", "drop", "eor", "errno" };

	for (int i = 0; i < 5; i++)
		if (!strcmp(name, names[i]))
			return i;
	fprintf(stderr, "walk: --sabotage is one of flip, drop, eor, errno\n");
	exit(2);
}

static struct options read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", 1, NULL, 's' },     { "stride", 1, NULL, 'r' },
		{ "steps", 1, NULL, 'n' },    { "seconds", 1, NULL, 't' },
		{ "sabotage", 1, NULL, 'x' }, { 0 },
	};
	struct options o = { 1, 1, 0 };
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			o.seed = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			o.stride = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			w->steps = strtoul(optarg, NULL, 0);
			break;
		case 't':
			o.seconds = strtod(optarg, NULL);
			break;
		case 'x':
			w->sabotage = sabotage_of(optarg);
			break;
		default:
			exit(2);
		}
	}
	return o;
}

int main(int argc, char **argv)
{
	struct options o;
	double end;
	bool same;

	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED) {
		perror("walk");
		return 2;
	}
	w->steps = 600;
	o = read_options(argc, argv);
	end = now() + o.seconds;
	do {
		same = walk_apart(o.seed);
		o.seed += o.stride;
	} while (same && now() < end);
	printf("walk: %llu walks, %llu steps, %llu exact and %llu looser comparisons, %llu MiB "
	       "accepted, %llu forks, %llu key updates; %s\n",
	       (unsigned long long)w->walks, (unsigned long long)w->total_steps,
	       (unsigned long long)w->exact, (unsigned long long)w->loose,
	       (unsigned long long)w->bytes >> 20, (unsigned long long)w->forks,
	       (unsigned long long)w->updates, same ? "no difference" : "a DIFFERENCE");
	return same ? 0 : 1;
}
