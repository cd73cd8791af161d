// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A process killed at any point while it sends or receives: the other holder
 * gets an error or goes on, and never hangs; on the wire no nonce repeats and
 * no foreign byte shows. TLSULP_BAD_POINTS: how many points of each call (8).
 */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define V13 TLSULP_VERSION_1_3
#define GCM TLSULP_AES_GCM_128
#define RECORD 3000
#define BATCH 64
#define WATCHDOG 100 /* seconds for a batch of survivors */
#define WIRE_MAX (16u << 20)

static unsigned int points = 8;

/* One connection that a child shares until it dies. */
struct victim {
	int fd[2];
	struct tls_keys keys;
	pthread_t thread, reader;
	uint8_t *bytes; /* all that was on the wire */
	size_t have;
	bool failed; /* for the survivor */
	int passed; /* one more number of fd[0] that a message brought; 0: none */
	const char *wrong;
};

typedef void (*call_fn)(int fd);

static uint8_t child_text[3 * 16384], parent_text[RECORD];

static void call_send(int fd)
{
	tlsulp_send(fd, child_text, RECORD, MSG_NOSIGNAL);
}

static void call_send_large(int fd)
{
	tlsulp_send(fd, child_text, sizeof(child_text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void call_send_more(int fd)
{
	tlsulp_send(fd, child_text, 100, MSG_NOSIGNAL | MSG_MORE);
	tlsulp_send(fd, child_text, 100, MSG_NOSIGNAL);
}

static void call_recv(int fd)
{
	uint8_t buf[TLS_PAYLOAD_MAX];

	tlsulp_recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
}

static void call_recv_small(int fd)
{
	uint8_t buf[10];

	tlsulp_recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	tlsulp_recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK);
}

/* Messages that pass the socket go through here. */
static int mail[2];

static void mail_send(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *m = CMSG_FIRSTHDR(&msg);

	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(m), &fd, sizeof(fd));
	tlsulp_sendmsg(mail[0], &msg, MSG_DONTWAIT);
}

/* The number that came, or 0: no mail. */
static int mail_take(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (tlsulp_recvmsg(mail[1], &msg, MSG_DONTWAIT) != 1 || !msg.msg_controllen)
		return 0;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void call_take(int fd)
{
	int taken = mail_take();

	if (taken)
		tlsulp_send(taken, child_text, RECORD, MSG_NOSIGNAL);
}

static const struct kill_case {
	const char *name;
	call_fn call;
	bool rx;
	bool by_mail; /* the socket is in the mail already */
} cases[] = {
	{ "send", call_send, false, false },
	{ "large send", call_send_large, false, false },
	{ "MSG_MORE", call_send_more, false, false },
	{ "recv", call_recv, true, false },
	{ "small recv", call_recv_small, true, false },
	{ "SCM_RIGHTS, out", mail_send, false, false },
	{ "SCM_RIGHTS, in", call_take, false, true },
};

static void victim_open(struct victim *v, const struct kill_case *k)
{
	struct timeval three = { 3, 0 };
	uint8_t wire[TLS_WIRE_MAX], plain[RECORD];

	memset(v, 0, sizeof(*v));
	if (!k->rx) {
		v->keys = home_tx_pair(v->fd, V13, GCM, false);
		if (k->by_mail)
			mail_send(v->fd[0]);
		return;
	}
	v->keys = home_rx_pair(v->fd, V13, GCM);
	setsockopt(v->fd[1], SOL_SOCKET, SO_RCVTIMEO, &three, sizeof(three));
	for (int i = 0; i < 4; i++) {
		memset(plain, '0' + i, sizeof(plain));
		raw_write(v->fd[0], wire,
			  record_seal(&v->keys, i, TLSULP_DATA, plain, RECORD, wire));
	}
}

/* ---- ways to die ---- */

static pid_t stopped_child(const struct kill_case *k, int fd)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		k->call(fd);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* @n stops of that kind, then SIGKILL. Returns how many there were before it ended. */
static unsigned long die_after(const struct kill_case *k, int fd, int request, unsigned long n)
{
	pid_t pid = stopped_child(k, fd);
	unsigned long i = 0;
	int status;

	for (; i < n; i++) {
		if (ptrace(request, pid, 0, 0))
			break;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			return i;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return i;
}

static void die_some_time(const struct kill_case *k, int fd, unsigned int usec)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			k->call(fd);
	usleep(usec);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- and what the survivor sees ---- */

static bool all_are(const uint8_t *p, size_t n, uint8_t byte)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static void *read_wire(void *arg)
{
	struct victim *v = arg;
	ssize_t n;

	v->bytes = malloc(WIRE_MAX);
	while (v->have < WIRE_MAX &&
	       (n = recv(v->fd[1], v->bytes + v->have, WIRE_MAX - v->have, 0)) > 0)
		v->have += n;
	return NULL;
}

/* The whole wire: records in sequence, each of one sender, perhaps a cut one last. */
static const char *judge_wire(struct victim *v)
{
	size_t have = v->have, at = 0;
	uint8_t *bytes = v->bytes, plain[TLS_WIRE_MAX], type;
	const char *wrong = NULL;
	bool by_parent = false;

	while (!wrong && have - at >= TLS_HEADER_LEN) {
		int body = tls_record_header(&v->keys, bytes + at);
		size_t len;

		if (body < 0) {
			wrong = "no record on the wire";
		} else if (have - at < TLS_HEADER_LEN + (size_t)body) {
			break;
		} else if (record_open(&v->keys, 0, bytes + at, plain, &len, &type) < 0) {
			wrong = "a record does not open: its number was used twice, or skipped";
		} else if (!len || !all_are(plain, len, plain[0]) ||
			   (plain[0] != 'C' && plain[0] != 'P')) {
			/* MSG_MORE of the dead child and the survivor's bytes may share a record.
			 */
			size_t c = 0;

			while (c < len && plain[c] == 'C')
				c++;
			if (c != 100 || !all_are(plain + c, len - c, 'P'))
				wrong = "foreign bytes in a record";
		}
		if (!wrong) {
			by_parent |= plain[len - 1] == 'P';
			v->keys.seq++;
			at += TLS_HEADER_LEN + body;
		}
	}
	if (!wrong && at < have && !v->failed)
		wrong = "a cut record, and the survivor saw no error";
	if (!wrong && !v->failed && !by_parent)
		wrong = "the survivor's record is not on the wire";
	free(bytes);
	return wrong;
}

static void *survive_sender(void *arg)
{
	struct victim *v = arg;
	struct timeval three = { 3, 0 };
	ssize_t n;

	pthread_create(&v->reader, NULL, read_wire, v);
	setsockopt(v->fd[0], SOL_SOCKET, SO_SNDTIMEO, &three, sizeof(three));
	n = tlsulp_send(v->fd[0], parent_text, RECORD, MSG_NOSIGNAL);
	v->failed = n < 0;
	if (n < 0 && errno != EBADMSG && errno != EPIPE)
		v->wrong = strerror(errno);
	if (n >= 0 && n != RECORD)
		v->wrong = "a short count";
	tlsulp_close(v->fd[0]);
	if (v->passed)
		tlsulp_close(v->passed);
	pthread_join(v->reader, NULL);
	if (!v->wrong)
		v->wrong = judge_wire(v);
	close(v->fd[1]);
	return NULL;
}

/* What comes is a tail of the four records, in order, or an error. */
static void *survive_receiver(void *arg)
{
	struct victim *v = arg;
	uint8_t buf[4 * RECORD], last = '0';
	ssize_t n = 0;

	shutdown(v->fd[0], SHUT_WR);
	while (!v->wrong && (n = tlsulp_recv(v->fd[1], buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] < last || buf[i] > '3')
				v->wrong = "plaintext out of order";
			last = buf[i];
		}
	}
	if (!v->wrong && n < 0 && errno != EBADMSG)
		v->wrong = strerror(errno);
	v->failed = n < 0;
	tlsulp_close(v->fd[1]);
	close(v->fd[0]);
	return NULL;
}

/* All at once: a lock whose owner died is given up after half a second only. */
static unsigned int judge(const struct kill_case *k, struct victim *v, unsigned int n)
{
	unsigned int failed = 0;

	/* Single steps may take as long as they like; survivors may not. */
	alarm(WATCHDOG);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(pthread_create(&v[i].thread, NULL,
						k->rx ? survive_receiver : survive_sender, &v[i]),
				 0);
	for (unsigned int i = 0; i < n; i++) {
		pthread_join(v[i].thread, NULL);
		if (v[i].wrong)
			fail_msg("%s, connection %u: %s", k->name, i, v[i].wrong);
		failed += v[i].failed;
	}
	alarm(0);
	return failed;
}

/* @how many deaths, the i-th of them by @die. Returns how many survivors saw an error. */
static unsigned int deaths(const struct kill_case *k, unsigned int how_many,
			   void (*die)(const struct kill_case *, int, unsigned int, void *),
			   void *arg)
{
	struct victim v[BATCH];
	unsigned int failed = 0;

	for (unsigned int at = 0; at < how_many;) {
		unsigned int n = 0;

		for (; n < BATCH && at < how_many; n++, at++) {
			victim_open(&v[n], k);
			die(k, v[n].fd[k->rx], at, arg);
			v[n].passed = mail_take();
		}
		failed += judge(k, v, n);
	}
	return failed;
}

static void die_at_step(const struct kill_case *k, int fd, unsigned int i, void *arg)
{
	die_after(k, fd, PTRACE_SINGLESTEP, *(unsigned long *)arg * i / points + i % 7);
}

static void die_at_call(const struct kill_case *k, int fd, unsigned int i, void *arg)
{
	die_after(k, fd, PTRACE_SYSCALL, i);
}

static void die_at_random(const struct kill_case *k, int fd, unsigned int i, void *arg)
{
	die_some_time(k, fd, 200 + i * 37 % 1500);
}

static void test_killed_at_any_instruction(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct victim v;
		unsigned long steps;
		unsigned int failed;

		victim_open(&v, &cases[i]);
		steps = die_after(&cases[i], v.fd[cases[i].rx], PTRACE_SINGLESTEP, 1ul << 24);
		v.passed = mail_take();
		assert_true(steps > 1000);
		judge(&cases[i], &v, 1);
		failed = deaths(&cases[i], points, die_at_step, &steps);
		print_message("%s: %lu instructions, %u points, %u survivors saw an error\n",
			      cases[i].name, steps, points, failed);
		/* Or no point was inside. Passing it on changes nothing in the session. */
		assert_true(failed > 0 || cases[i].call == mail_send);
	}
}

static void test_killed_at_each_system_call(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct victim v;
		unsigned long stops;

		victim_open(&v, &cases[i]);
		stops = die_after(&cases[i], v.fd[cases[i].rx], PTRACE_SYSCALL, 1000);
		v.passed = mail_take();
		assert_int_equal(v.passed != 0, cases[i].call == mail_send);
		assert_in_range(stops, 4, 400);
		judge(&cases[i], &v, 1);
		print_message("%s: %lu stops, %u survivors saw an error\n", cases[i].name, stops,
			      deaths(&cases[i], stops, die_at_call, NULL));
	}
}

static void test_killed_at_random_times(void **state)
{
	const unsigned int which[] = { 1, 4 };

	for (unsigned int i = 0; i < ARRAY_SIZE(which); i++)
		deaths(&cases[which[i]], 2 * points, die_at_random, NULL);
}

static void on_watchdog(int sig)
{
	static const char text[] = "a survivor hangs\n";

	if (write(2, text, sizeof(text) - 1))
		_exit(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_any_instruction),
		cmocka_unit_test(test_killed_at_each_system_call),
		cmocka_unit_test(test_killed_at_random_times),
	};
	const char *more = getenv("TLSULP_BAD_POINTS");

	if (more)
		points = strtoul(more, NULL, 10);
	signal(SIGALRM, on_watchdog);
	memset(child_text, 'C', sizeof(child_text));
	memset(parent_text, 'P', sizeof(parent_text));
	home_start();
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, mail))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
