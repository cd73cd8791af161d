/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who am I: pid, tid, and whether this is a new process since the last look.
 * A page that the kernel wipes at fork tells the latter even where atfork
 * handlers do not run (raw clone3()).
 */
#ifndef TLSULP_PROCESS_H
#define TLSULP_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Once, from the constructor. */
void process_init(void);

/*
 * True in a process that was forked since the last call here, once: the caller
 * puts its process-private state in order. Costs one load otherwise.
 */
bool process_forked(void);

/* Pid of this address space; a vfork child sees its parent's. */
pid_t process_pid(void);
pid_t process_tid(void);

/*
 * A vfork child runs in its parent's memory with descriptors of its own: it
 * must change nothing here. One system call.
 */
bool process_is_vfork_child(void);

/* Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); 0 if unknown. */
uint64_t process_start(pid_t pid);

/* Is the thread still there, and not a zombie? */
bool process_thread_alive(pid_t tid);

/* Is @tid a thread of @pid? */
bool process_has_thread(pid_t pid, pid_t tid);

/* Is the process with this pid and start time (0: any) still there, and not a zombie? */
bool process_alive(pid_t pid, uint64_t start);

#endif
