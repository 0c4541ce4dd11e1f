/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an open file of the device holds.
 */
#ifndef _CAIRN_SESSION_H
#define _CAIRN_SESSION_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/task_work.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

/**
 * struct cairn_session - an open file of the device
 * @ref: the file, and every thread that was asked to stop
 * @lock: one ioctl at a time; covers @threads
 * @threads: struct cairn_held by TID in the initial PID namespace
 * @changed: woken when a thread is held, or has ended
 */
struct cairn_session {
	struct kref ref;
	struct mutex lock;	/* covers threads */
	struct xarray threads;
	wait_queue_head_t changed;
};

/* How far a thread is. Only ever goes up. */
enum cairn_progress {
	CAIRN_ASKED,	/* the work is queued */
	CAIRN_WAITING,	/* it waits in the work */
	CAIRN_GONE,	/* it has left the work, or ends */
};

/**
 * struct cairn_held - a thread that is held, or will be
 * @work: what it runs before it goes back to its program
 * @ref: the session and the queued work
 * @session: whose it is
 * @task: the thread
 * @go: where it waits
 * @progress: enum cairn_progress
 * @released: it may go
 */
struct cairn_held {
	struct callback_head work;
	struct kref ref;
	struct cairn_session *session;
	struct task_struct *task;
	wait_queue_head_t go;
	int progress;
	bool released;
};

/**
 * cairn_get_task() - a thread by its number
 * @nr: as the caller's PID namespace counts
 *
 * Return: the thread with a reference, or an ERR_PTR
 */
struct task_struct *cairn_get_task(pid_t nr);

/**
 * cairn_begin() - find a quiet thread, and keep the session as it is
 * @file: of the device
 * @tid: the thread, as the caller's PID namespace counts
 * @process: it has to be the first thread of its process
 *
 * The thread is off its processor, so that everything it has is in memory, and
 * executes nothing of its program before cairn_end(). It may be killed
 * nevertheless: what is reached through its task may go away.
 *
 * Return: the thread, or an ERR_PTR, after which cairn_end() must not be called
 */
struct task_struct *cairn_begin(struct file *file, pid_t tid, bool process);
void cairn_end(struct file *file);

/**
 * cairn_with_signals() - read what the lock of a task's signal handlers covers
 * @task: the task
 * @read: called with the lock held and interrupts off
 * @arg: for it
 *
 * As lock_task_sighand() does it, which is not exported.
 *
 * Return: what @read returns; -ESRCH when the task has ended
 */
int cairn_with_signals(struct task_struct *task,
		       int (*read)(struct task_struct *task, void *arg),
		       void *arg);

/**
 * cairn_look() - cairn_with_signals() between cairn_begin() and cairn_end()
 */
int cairn_look(struct file *file, pid_t tid, bool process,
	       int (*read)(struct task_struct *task, void *arg), void *arg);

#endif /* _CAIRN_SESSION_H */
