/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an open file of the device holds.
 */
#ifndef _CAIRN_SESSION_H
#define _CAIRN_SESSION_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

/**
 * struct cairn_session - an open file of the device
 * @ref: the file, and every thread that was asked to stop
 * @lock: one ioctl at a time; covers @threads, @groups and @looked_at
 * @threads: struct cairn_held by TID in the initial PID namespace
 * @groups: struct cairn_group by the PID of its process there
 * @looked_at: between cairn_begin() and cairn_finish()
 * @changed: woken when a thread is held, or has ended
 * @frames_lock: covers @frames and @spare
 * @frames: room for memory on its way into a file, see memory.c
 * @spare: for how many requests
 */
struct cairn_session {
	struct kref ref;
	struct mutex lock;	/* covers threads, groups, looked_at */
	struct xarray threads;
	struct xarray groups;
	struct task_struct *looked_at;
	wait_queue_head_t changed;
	spinlock_t frames_lock;	/* covers frames, spare */
	struct list_head frames;
	unsigned int spare;
};

/**
 * struct cairn_group - a process that is held, or will be
 * @threads: struct cairn_held of its threads
 * @pid: its number in the initial PID namespace
 * @signal: which process it is, as another may have the number by now; lives as
 *	long as one of the threads has a reference
 * @stopped: how many threads were stopped, by a signal or a tracer, when it was
 *	held
 */
struct cairn_group {
	struct list_head threads;
	pid_t pid;
	struct signal_struct *signal;
	unsigned int stopped;
};

/* How far a thread is. Only ever goes up. */
enum cairn_progress {
	CAIRN_ASKED,	/* the work is queued */
	CAIRN_WAITING,	/* it waits in the work */
	CAIRN_GONE,	/* it has left the work, or ends */
};

/**
 * struct cairn_end - when a call ends by itself that a thread was interrupted in
 * @known: whether that is known
 * @time: by CLOCK_MONOTONIC, nanoseconds
 * @sleep: how often the thread had slept then
 */
struct cairn_end {
	bool known;
	s64 time;
	unsigned long sleep;
};

/**
 * struct cairn_held - a thread that is held, or will be
 * @work: what it runs before it goes back to its program
 * @ref: the session and the queued work
 * @session: whose it is
 * @list: in the group's threads
 * @task: the thread
 * @tid: the number that it is listed by
 * @go: where it waits
 * @end: of the call that it was in when it was asked to stop
 * @slept: how often it had slept when it came to its work
 * @interrupted: it came from a call that is made again
 * @stopped: it was stopped, by a signal or a tracer, when its process was held
 * @switches: how often it had left a processor then
 * @progress: enum cairn_progress
 * @released: it may go
 */
struct cairn_held {
	struct callback_head work;
	struct kref ref;
	struct cairn_session *session;
	struct list_head list;
	struct task_struct *task;
	pid_t tid;
	wait_queue_head_t go;
	struct cairn_end end;
	unsigned long slept;
	bool interrupted;
	bool stopped;
	unsigned long switches;
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
 * executes nothing of its program before cairn_finish(). It may be killed
 * nevertheless: what is reached through its task may go away, but for its stack,
 * on which its registers are.
 *
 * One that was stopped by somebody else may be made to go on by them, and takes
 * signals then before it is in the module: its registers and its stack become
 * those of a handler. It is told of no more, with -ESTALE.
 *
 * Return: the thread, or an ERR_PTR, after which cairn_finish() must not be called
 */
struct task_struct *cairn_begin(struct file *file, pid_t tid, bool process);
void cairn_finish(struct file *file);

/**
 * cairn_still() - whether a process is as it was when it was held
 * @file: of the device
 * @pid: the process, as the caller's PID namespace counts
 *
 * What has been read of its memory before is of that time, too, if so.
 *
 * Return: 0; -ESTALE when a thread has gone on that was stopped; -ESRCH
 */
int cairn_still(struct file *file, pid_t pid);

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
 * cairn_look() - cairn_with_signals() between cairn_begin() and cairn_finish()
 */
int cairn_look(struct file *file, pid_t tid, bool process,
	       int (*read)(struct task_struct *task, void *arg), void *arg);

/**
 * cairn_end_of() - the end of the call that a thread was interrupted in
 * @file: of the device
 * @task: the thread
 *
 * Context: Between cairn_begin() and cairn_finish().
 * Return: the end; NULL when there is none, or it is not known
 */
const struct cairn_end *cairn_end_of(struct file *file, struct task_struct *task);

/* memory.c */
void cairn_free_frames(struct cairn_session *session);

/* again.c */
bool cairn_again_init(void);

/**
 * struct cairn_nudge - interrupts a sleep, without a signal
 */
struct cairn_nudge;

/* NULL when there is no memory. */
struct cairn_nudge *cairn_nudge_alloc(void);
void cairn_nudge_free(struct cairn_nudge *nudge);

/**
 * cairn_nudge() - interrupt the sleep of a thread, or the next that it begins
 * before it is back in its program
 * @task: the thread
 * @nudge: goes over to it
 *
 * Context: Any.
 * Return: false when it ends, and @nudge has not gone over
 */
bool cairn_nudge(struct task_struct *task, struct cairn_nudge *nudge);

/**
 * cairn_may_have_end() - whether a thread may be in a call that ends by itself
 * and of which only a timer on its stack knows when
 *
 * Context: With a reference to the thread's stack.
 */
bool cairn_may_have_end(struct task_struct *task);

/**
 * cairn_find_end() - look for the end of the call that a thread is in
 * @task: the thread, with a reference; whatever it does meanwhile
 * @end: not known yet; is, when the thread slept in the call all the while
 *
 * It says something of the call that the thread is in when it next leaves the
 * kernel if a work has been queued for it before.
 */
void cairn_find_end(struct task_struct *task, struct cairn_end *end);

/**
 * cairn_interrupted() - have the calling thread make a call again that has been
 * interrupted and would end with EINTR
 *
 * Return: whether there is such a call
 */
bool cairn_interrupted(void);

/**
 * cairn_can_wait() - whether nobody waits for any of a list of works
 * @work: the first, of the calling thread; NULL for none
 */
bool cairn_can_wait(const struct callback_head *work);

/**
 * cairn_go_on() - make the call that was interrupted, until its end
 * @end: the end
 * @others_can_wait: the works behind the one that calls
 *
 * Context: The thread itself, after cairn_interrupted().
 */
void cairn_go_on(const struct cairn_end *end, bool others_can_wait);

/**
 * cairn_call_again() - have a thread make the call that it is about to make, but
 * end it
 * @task: the thread, stopped
 * @end: when, by CLOCK_MONOTONIC
 *
 * Return: 0, -ENOMEM, or -ESRCH when it ends
 */
int cairn_call_again(struct task_struct *task, s64 end);

#endif /* _CAIRN_SESSION_H */
