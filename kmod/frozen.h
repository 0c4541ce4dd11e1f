/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A frozen thread, and a frozen process: from the task work that is queued for a
 * thread until it is thawed.
 */
#ifndef _CAIRN_FROZEN_H
#define _CAIRN_FROZEN_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/task_work.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "syscall_restart.h"

struct cairn_session;

/**
 * struct frozen_process - a process that is frozen, or being frozen
 * @threads: struct frozen_thread of its threads
 * @pid: PID in the initial PID namespace
 * @signal: identifies the process, as the PID may have been reused; valid while
 *	@threads is not empty, as each of them has a reference to its task
 * @stopped: number of threads that were stopped, by a signal or a tracer, when
 *	the process was frozen
 */
struct frozen_process {
	struct list_head threads;
	pid_t pid;
	struct signal_struct *signal;
	unsigned int stopped;
};

/* Only ever increases. */
enum frozen_state {
	FROZEN_QUEUED,	/* the task work is queued */
	FROZEN_WAITING,	/* the thread waits in the task work */
	FROZEN_LEFT,	/* the thread has left the task work, or exits */
};

/**
 * struct frozen_thread - a thread that is frozen, or being frozen
 * @work: task work, which runs before the thread returns to user space
 * @ref: held by the session and by the queued work
 * @session: has a reference
 * @list: in the threads of struct frozen_process
 * @task: has a reference
 * @tid: index in the threads of the session
 * @wait: where the thread waits in @work
 * @deadline: of the system call that it was in when @work was queued
 * @nvcsw: its voluntary context switches when @work began
 * @restarts: it was interrupted in a system call that is restarted
 * @stopped: it was stopped, by a signal or a tracer, when the process was frozen
 * @switches: all of its context switches at that time
 * @state: enum frozen_state
 * @thawed: it may leave @work
 */
struct frozen_thread {
	struct callback_head work;
	struct kref ref;
	struct cairn_session *session;
	struct list_head list;
	struct task_struct *task;
	pid_t tid;
	wait_queue_head_t wait;
	struct cairn_deadline deadline;
	unsigned long nvcsw;
	bool restarts;
	bool stopped;
	unsigned long switches;
	int state;
	bool thawed;
};

/*
 * The state of a thread. After FROZEN_WAITING or FROZEN_LEFT was read, everything
 * that the thread wrote before it entered that state is visible.
 */
static inline int cairn_frozen_state(const struct frozen_thread *thread)
{
	/* Pairs with set_state() in frozen.c. */
	return smp_load_acquire(&thread->state);
}

/**
 * cairn_freeze_thread() - queue the task work for one thread
 * @session: the session
 * @process: of the thread
 * @task: the thread; the reference to it is consumed
 *
 * A thread that exits is not an error: it is left out of @process.
 *
 * Context: Under the session's lock.
 * Return: 0 or -ENOMEM
 */
int cairn_freeze_thread(struct cairn_session *session,
			struct frozen_process *process, struct task_struct *task);

/**
 * cairn_frozen_process() - look up the process of a task
 *
 * Context: Under the session's lock.
 * Return: the process; NULL if the session has not frozen it
 */
struct frozen_process *cairn_frozen_process(struct cairn_session *session,
					    const struct task_struct *task);

/**
 * cairn_add_process() - add a process without threads to the session
 *
 * Context: Under the session's lock.
 * Return: the process or an ERR_PTR
 */
struct frozen_process *cairn_add_process(struct cairn_session *session,
					 const struct task_struct *leader);

/* Thaws and frees. Context: Under the session's lock. */
void cairn_thaw_process(struct cairn_session *session, struct frozen_process *process);
void cairn_thaw_all(struct cairn_session *session);

/* Whether the thread does not return to user space until it is thawed. */
bool cairn_is_quiet(const struct frozen_thread *thread);

/**
 * cairn_note_quiet() - record whether a quiet thread is stopped
 *
 * Return: false if the thread is not quiet, or still on its CPU: it sets
 * its state to stopped before it leaves that
 */
bool cairn_note_quiet(struct frozen_thread *thread);

/*
 * Whether the thread was stopped when its process was frozen, and has been resumed
 * since, even if it is in another stop now.
 */
bool cairn_was_resumed(const struct frozen_thread *thread);

/* The same for all threads that have not exited. Context: Under the session's lock. */
bool cairn_any_resumed(struct cairn_session *session,
		       const struct frozen_process *process);

/**
 * cairn_frozen_deadline() - deadline of the system call that a thread was
 * interrupted in
 *
 * Context: In state FROZEN_WAITING.
 * Return: the deadline; NULL if there is none, or it is unknown
 */
const struct cairn_deadline *cairn_frozen_deadline(const struct frozen_thread *thread);

#endif /* _CAIRN_FROZEN_H */
