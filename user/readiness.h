/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * poll, select and epoll: readable means a whole record, EOF or an error. Mostly
 * the kernel says so itself (SO_RCVLOWAT, receive.c); what is left is filtered
 * here: a first partial record that no read has looked at, the pause for a
 * KeyUpdate's key, and records that are hidden from the kernel.
 *
 * epoll events carry the program's opaque data and no descriptor, so what
 * epoll_ctl registers is recorded. When it is not certain whose an event is, it
 * is delivered: the read then says EAGAIN.
 */
#ifndef TLSULP_READINESS_H
#define TLSULP_READINESS_H

#include <poll.h>
#include <stdbool.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

int readiness_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int readiness_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		    const sigset_t *mask);
int readiness_select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout);
int readiness_pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		      const sigset_t *mask);

int readiness_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
/* @timeout NULL: for ever; @mask NULL: unchanged. */
int readiness_epoll_wait(int epfd, struct epoll_event *events, int max,
			 const struct timespec *timeout, const sigset_t *mask);

/*
 * For poll.c and epoll.c. Is the kernel's "readable" true of @fd (also of all
 * that is not ours)? Is something to be read that the kernel does not know of?
 */
bool readiness_is_true(int fd);
bool readiness_is_hidden(int fd);

/*
 * Does a thread of this process sleep in poll, select or epoll_wait on @fd?
 * Calls that sleep say so before (1) and after (-1), of each number that they
 * sleep on or of the epoll set.
 */
bool readiness_is_watched(int fd);
void readiness_sleeps(int fd, int one);

/* epoll.c's part of that: is @fd registered with a set that somebody sleeps on? */
bool readiness_epoll_is_watched(int fd);
bool readiness_has_sleepers(int fd);
/* In a fork's child: those threads are not here. */
void readiness_no_sleepers(void);

/* How long to look away from a socket whose wait the kernel cannot express. */
#define READINESS_BLIND_MS 10

/* Around fork: the registrations are whole in the child. */
void readiness_before_fork(void);
void readiness_after_fork(bool child);

/* The kernel gave the number @fd anew: an epoll set that had it is no more. */
void readiness_new_number(int fd);

/* The number @fd is gone: its registrations are too. */
void readiness_forget(int fd);

/* Take @fd out of the epoll sets it is in: its file will outlive the number. */
void readiness_remove(int fd);

#endif
