// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* signals PORT SCENE [ARG]: handlers that come in the midst of the library's work. */
#include "peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

#define TAG 1
#define QUEUED 3000

static const char *arg;
static int fd;
static atomic_int ran, wrong, done;

/* ---- many, each once ---- */

static void send_in_handler(int sig)
{
	int saved = errno;

	atomic_fetch_add(&ran, 1);
	if (send(fd, "h", 1, 0) != 1)
		atomic_store(&wrong, 1);
	errno = saved;
}

/* A handler sends on the socket that is being sent on. */
static void scene_storm(void)
{
	struct sigaction act = { .sa_handler = send_in_handler, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 70 }, { 0, 70 } }, never = { { 0, 0 }, { 0, 0 } };
	char text[40];

	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < 60000; i++)
		say_str(fd, "m");
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK(!wrong);
	snprintf(text, sizeof(text), " %d", ran);
	say_str(fd, text);
}

static void in_order(int sig, siginfo_t *info, void *context)
{
	if (info->si_value.sival_int != ran)
		atomic_store(&wrong, 1);
	atomic_fetch_add(&ran, 1);
}

static void *queue_all(void *main_thread)
{
	for (int i = 0; i < QUEUED; i++)
		while (pthread_sigqueue(*(pthread_t *)main_thread, SIGRTMIN,
					(union sigval){ .sival_int = i }))
			;
	atomic_store(&done, 1);
	return NULL;
}

/* Queued signals come once each, in order, with their values. */
static void scene_queue(void)
{
	struct sigaction act = { .sa_sigaction = in_order, .sa_flags = SA_SIGINFO }, old;
	pthread_t self = pthread_self(), thread;

	CHECK(sigaction(SIGRTMIN, &act, NULL) == 0);
	CHECK(sigaction(SIGRTMIN, NULL, &old) == 0);
	CHECK(old.sa_sigaction == in_order && (old.sa_flags & SA_SIGINFO));
	CHECK(pthread_create(&thread, NULL, queue_all, &self) == 0);
	while (!done || ran < QUEUED)
		say_str(fd, "m");
	CHECK(pthread_join(thread, NULL) == 0 && !wrong && ran == QUEUED);
	say_str(fd, " ok");
}

/* The mask is as it was, also where a handler was put off. */
static void scene_mask(void)
{
	sigset_t set, now;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	scene_storm();
	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
	for (int sig = 1; sig < NSIG; sig++)
		CHECK(sigismember(&now, sig) <= (sig == SIGUSR2));
}

/* ---- each way to set a handler ---- */

static void count(int sig)
{
	atomic_fetch_add(&ran, 1);
}

static void scene_once(void)
{
	struct sigaction act = { .sa_handler = count, .sa_flags = SA_RESETHAND }, old;

	CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0);
	CHECK(old.sa_handler == count && (old.sa_flags & SA_RESETHAND) &&
	      !(old.sa_flags & SA_SIGINFO));
	raise(SIGUSR1);
	CHECK(ran == 1);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	say_str(fd, "ok");
}

/* The second one again and again: it may come before the call. */
static void *send_signals(void *main_thread)
{
	usleep(100000);
	pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
	while (!done) {
		usleep(100000);
		pthread_kill(*(pthread_t *)main_thread, SIGUSR2);
	}
	return NULL;
}

/* One handler restarts calls, the other does not: only that one interrupts. */
static void scene_restart(void)
{
	struct sigaction act = { .sa_handler = count, .sa_flags = SA_RESTART };
	pthread_t self = pthread_self(), thread;
	char byte;

	CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
	act.sa_flags = 0;
	CHECK(sigaction(SIGUSR2, &act, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, send_signals, &self) == 0);
	if (!strcmp(arg, "send")) {
		static char large[1 << 20];

		while (send(fd, large, sizeof(large), MSG_DONTWAIT) > 0)
			;
		/* The kernel may make the room a little larger as acknowledgements come. */
		while (send(fd, large, 1, 0) == 1)
			;
	} else {
		CHECK(recv(fd, &byte, 1, 0) == -1);
	}
	CHECK(errno == EINTR && ran >= 2);
	atomic_store(&done, 1);
	CHECK(pthread_join(thread, NULL) == 0);
	_exit(0);
}

/* A child that shares the connection and is ended in the midst leaves it usable. */
static void scene_ended(void)
{
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			for (;;)
				say_str(fd, "c");
		usleep(i * 37 % 2000);
		kill(pid, SIGTERM);
		CHECK(waitpid(pid, NULL, 0) == pid);
		say_str(fd, "p");
	}
}

/* ---- calls that do not come back ---- */

static sigjmp_buf jump;

static void jump_out(int sig)
{
	siglongjmp(jump, 1);
}

static void *sleep_in_call(void *unused)
{
	static char large[1 << 20];

	if (!strcmp(arg, "send"))
		for (;;)
			CHECK(send(fd, large, sizeof(large), 0) > 0);
	recv(fd, large, sizeof(large), 0);
	return NULL;
}

/* The socket does not outlive its last number: the peer sees the end. */
static void end_left_call(void)
{
	CHECK(close(fd) == 0);
	CHECK(fcntl(fd, F_GETFD) == -1);
	pause();
}

static void scene_jump(void)
{
	struct itimerval soon = { { 0, 0 }, { 0, 300000 } };

	CHECK(signal(SIGALRM, jump_out) != SIG_ERR);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	if (!sigsetjmp(jump, 1)) {
		sleep_in_call(NULL);
		die("recv returned");
	}
	end_left_call();
}

static void scene_cancel(void)
{
	pthread_t thread;
	void *how;

	CHECK(pthread_create(&thread, NULL, sleep_in_call, NULL) == 0);
	usleep(300000);
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &how) == 0 && how == PTHREAD_CANCELED);
	end_left_call();
}

static void *recv_when_cancelled(void *unused)
{
	char byte;

	pthread_cancel(pthread_self());
	recv(fd, &byte, 1, 0);
	return NULL;
}

/* Inside of a change there is no cancellation point. */
static void scene_inside(void)
{
	pthread_t thread;
	char byte;

	CHECK(recv(fd, &byte, 1, 0) == -1 && errno == EINVAL);
	CHECK(pthread_create(&thread, NULL, recv_when_cancelled, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	say_str(fd, "ok");
}

static void *set_handlers(void *sig)
{
	struct sigaction act = { .sa_handler = count };

	while (!done)
		sigaction((long)sig, &act, NULL);
	return NULL;
}

/* A child sets its handlers although another thread was setting some in its parent. */
static void scene_fork(void)
{
	pthread_t threads[2];
	int status;

	CHECK(pthread_create(&threads[0], NULL, set_handlers, (void *)SIGUSR1) == 0);
	CHECK(pthread_create(&threads[1], NULL, set_handlers, (void *)SIGSEGV) == 0);
	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			signal(SIGUSR1, SIG_DFL);
			signal(SIGSEGV, SIG_DFL);
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && !status);
	}
	atomic_store(&done, 1);
	CHECK(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
	say_str(fd, "ok");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} scenes[] = {
		{ "storm", scene_storm }, { "queue", scene_queue },     { "mask", scene_mask },
		{ "once", scene_once },   { "restart", scene_restart }, { "ended", scene_ended },
		{ "jump", scene_jump },   { "cancel", scene_cancel },   { "inside", scene_inside },
		{ "fork", scene_fork },
	};

	peer_init(argv[1]);
	arg = argc > 3 ? argv[3] : "";
	fd = peer_tls(TAG);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		if (!strcmp(argv[2], scenes[i].name)) {
			scenes[i].run();
			return 0;
		}
	}
	die("no scene %s", argv[2]);
}
