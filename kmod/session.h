/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A session: an open file of the device, and the processes that it has frozen.
 */
#ifndef _CAIRN_SESSION_H
#define _CAIRN_SESSION_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

struct cairn_deadline;

/**
 * struct cairn_session - an open file of the device
 * @ref: held by the file and by every struct frozen_thread
 * @lock: serializes ioctls; protects @threads, @processes and @inspected
 * @threads: struct frozen_thread by TID in the initial PID namespace
 * @processes: struct frozen_process by PID in the initial PID namespace
 * @inspected: the thread between cairn_inspect_begin() and cairn_inspect_end()
 * @changed: woken when a thread waits in its task work, or has left it
 * @frames_lock: protects @frames and @nr_frames
 * @frames: unused struct frame, see memory.c
 * @nr_frames: length of @frames
 */
struct cairn_session {
	struct kref ref;
	struct mutex lock;	/* protects threads, processes, inspected */
	struct xarray threads;
	struct xarray processes;
	struct task_struct *inspected;
	wait_queue_head_t changed;
	spinlock_t frames_lock;	/* protects frames, nr_frames */
	struct list_head frames;
	unsigned int nr_frames;
};

int cairn_open(struct inode *inode, struct file *file);
int cairn_close(struct inode *inode, struct file *file);

void cairn_session_get(struct cairn_session *session);
void cairn_session_put(struct cairn_session *session);

/**
 * cairn_inspect_begin() - look up a frozen thread and lock the session
 * @file: of the device
 * @tid: the thread's TID in the caller's PID namespace
 * @process: require a thread group leader; if it has exited, another thread of the
 *	process is returned
 *
 * The thread is off its CPU, so that all of its state is in memory, and does not
 * return to user space before cairn_inspect_end(). It can still be killed: what
 * its task_struct points to may go away. Its kernel stack, with its registers,
 * is pinned.
 *
 * A thread that was stopped by a signal or a tracer may have been resumed since
 * it was frozen. It handles signals before it runs its task work, so that its
 * registers and its stack may be those of a handler: -ESTALE from then on.
 *
 * Return: the thread; or an ERR_PTR, without the need for cairn_inspect_end()
 */
struct task_struct *cairn_inspect_begin(struct file *file, pid_t tid, bool process);
void cairn_inspect_end(struct file *file);

/**
 * cairn_inspect_siglock() - cairn_with_siglock() on a frozen thread
 */
int cairn_inspect_siglock(struct file *file, pid_t tid, bool process,
			  int (*read)(struct task_struct *task, void *arg), void *arg);

/**
 * cairn_inspect_deadline() - deadline of the system call that a thread was
 * interrupted in
 * @file: of the device
 * @task: the thread
 *
 * Context: Between cairn_inspect_begin() and cairn_inspect_end().
 * Return: the deadline; NULL if there is none, or it is unknown
 */
const struct cairn_deadline *cairn_inspect_deadline(struct file *file,
						    struct task_struct *task);

/**
 * cairn_check_unchanged() - check that no thread of a process was resumed
 * @file: of the device
 * @pid: the process's PID in the caller's PID namespace
 *
 * On success, memory of the process that was read before the call is as it was
 * when the process was frozen.
 *
 * Return: 0; -ESTALE if a stopped thread was resumed; -ESRCH
 */
int cairn_check_unchanged(struct file *file, pid_t pid);

#endif /* _CAIRN_SESSION_H */
