/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers for a task as a whole: lookup, siglock, context switches.
 */
#ifndef _CAIRN_TASK_H
#define _CAIRN_TASK_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/types.h>

#include <asm/barrier.h>

/**
 * cairn_find_task() - look up a thread
 * @nr: its TID in the caller's PID namespace
 *
 * Return: the task with a reference, or ERR_PTR(-ESRCH)
 */
struct task_struct *cairn_find_task(pid_t nr);

/**
 * cairn_find_leader() - look up the leader of a process
 * @nr: the PID in the caller's PID namespace
 *
 * A thread that replaces the program takes the leader's place, and its TID somewhat
 * earlier, de_thread() in fs/exec.c. In between the task of that TID is no leader,
 * but the PID has one all the time. The one returned may have lost its place since.
 *
 * Return: the task with a reference, ERR_PTR(-EINVAL) if this is another thread's
 * TID, or ERR_PTR(-ESRCH)
 */
struct task_struct *cairn_find_leader(pid_t nr);

/**
 * cairn_with_siglock() - call a function under a task's siglock
 * @task: the task
 * @read: called with siglock held and interrupts off
 * @arg: passed to @read
 *
 * Does what lock_task_sighand() does, which is not exported.
 *
 * Return: what @read returns; -ESRCH if the task has exited
 */
int cairn_with_siglock(struct task_struct *task,
		       int (*read)(struct task_struct *task, void *arg),
		       void *arg);

static inline void cairn_assert_siglock(const struct task_struct *task)
{
	lockdep_assert_held(&rcu_dereference_protected(task->sighand, true)->siglock);
}

/* Whether a CPU still executes the task. */
static inline bool cairn_on_cpu(const struct task_struct *task)
{
#ifdef CONFIG_SMP
	/* Pairs with finish_task() in kernel/sched/core.c. */
	return smp_load_acquire(&task->on_cpu);
#else
	return false;
#endif
}

/* Context switches of the task, voluntary and involuntary. */
static inline unsigned long cairn_switch_count(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

/* A signal set as the ABI has it: bit n-1 for signal n. */
static inline u64 cairn_sigset(const sigset_t *set)
{
	static_assert(_NSIG_WORDS == 1);
	return set->sig[0];
}

#endif /* _CAIRN_TASK_H */
