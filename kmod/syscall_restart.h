/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Restarting system calls that fail with EINTR after any interruption: signal(7),
 * "never restarted". The kernel records their timeout only in a timer on the
 * kernel stack of the sleeping thread.
 */
#ifndef _CAIRN_SYSCALL_RESTART_H
#define _CAIRN_SYSCALL_RESTART_H

#include <linux/sched.h>
#include <linux/types.h>

struct callback_head;
struct cairn_kick;

/**
 * struct cairn_deadline - when a system call that was interrupted times out
 * @known: whether @time is valid
 * @time: on CLOCK_MONOTONIC, in nanoseconds
 * @nvcsw: voluntary context switches of the thread in that sleep
 */
struct cairn_deadline {
	bool known;
	s64 time;
	unsigned long nvcsw;
};

/* Looks up what the rest needs. Returns false if deadlines cannot be found. */
bool cairn_syscall_restart_init(void);

/**
 * cairn_kick_alloc() - prepare to interrupt a sleep without a signal
 *
 * Return: NULL without memory
 */
struct cairn_kick *cairn_kick_alloc(void);
void cairn_kick_free(struct cairn_kick *kick);

/**
 * cairn_kick() - interrupt the sleep of a thread, or the next one that it enters
 * before it returns to user space
 * @task: the thread
 * @kick: consumed on success
 *
 * Context: Any.
 * Return: false if the thread exits
 */
bool cairn_kick(struct task_struct *task, struct cairn_kick *kick);

/**
 * cairn_may_have_deadline() - whether a thread may be in a system call whose
 * timeout is recorded only in a timer on its stack
 *
 * Context: With the thread's stack pinned.
 */
bool cairn_may_have_deadline(struct task_struct *task);

/**
 * cairn_find_deadline() - find the timeout of the system call that a thread is in
 * @task: the thread; may run, sleep or exit meanwhile
 * @deadline: not known yet; becomes known if the thread stayed in one sleep
 *
 * With a task work queued before, the deadline is that of the system call from
 * which the thread enters the work.
 */
void cairn_find_deadline(struct task_struct *task, struct cairn_deadline *deadline);

/**
 * cairn_restart_interrupted() - have the kernel restart the system call of the
 * current thread if it was interrupted and would fail with EINTR
 *
 * Return: whether it was
 */
bool cairn_restart_interrupted(void);

/**
 * cairn_works_can_wait() - whether nothing waits for any task work of a list
 * @work: the first work of the current thread's list, or NULL
 */
bool cairn_works_can_wait(const struct callback_head *work);

/**
 * cairn_restart_syscall() - restart the interrupted system call of the current
 * thread with its original deadline
 * @deadline: its deadline
 * @others_can_wait: cairn_works_can_wait() for the works after the calling one
 *
 * Context: In a task work, after cairn_restart_interrupted().
 */
void cairn_restart_syscall(const struct cairn_deadline *deadline, bool others_can_wait);

/**
 * cairn_queue_syscall() - give a deadline to the next system call of a thread
 * @task: the thread, in a ptrace stop, about to make or to restart the call
 * @deadline: on CLOCK_MONOTONIC, in nanoseconds
 *
 * Return: 0, -ENOMEM, or -ESRCH if the thread exits
 */
int cairn_queue_syscall(struct task_struct *task, s64 deadline);

#endif /* _CAIRN_SYSCALL_RESTART_H */
