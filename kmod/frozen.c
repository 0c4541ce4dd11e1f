// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing and thawing one thread.
 *
 * A frozen thread waits in a task work, which the kernel runs before the thread
 * returns to user space: all of its registers are saved on its stack by then. The
 * last close of the session's file thaws every thread, also when its owner is
 * killed.
 */
#include <linux/err.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/task_work.h>

#include "compat.h"
#include "frozen.h"
#include "lookup.h"
#include "session.h"
#include "task.h"

static void thread_free(struct kref *ref)
{
	struct frozen_thread *thread = container_of(ref, struct frozen_thread, ref);

	put_task_struct(thread->task);
	cairn_session_put(thread->session);
	kfree(thread);
}

static void set_state(struct frozen_thread *thread, enum frozen_state state)
{
	/* Pairs with cairn_frozen_state(). */
	smp_store_release(&thread->state, state);
	wake_up_all(&thread->session->changed);
}

const struct cairn_deadline *cairn_frozen_deadline(const struct frozen_thread *thread)
{
	/* A thread that has slept since then has left the call of the deadline. */
	if (thread->restarts && thread->deadline.known &&
	    thread->deadline.nvcsw == thread->nvcsw)
		return &thread->deadline;
	return NULL;
}

/*
 * The task work. Runs in the thread, without locks, before it returns to user
 * space.
 */
static void frozen_run(struct callback_head *work)
{
	struct frozen_thread *thread = container_of(work, struct frozen_thread, work);
	bool others_can_wait = cairn_works_can_wait(work->next);
	const struct cairn_deadline *found;
	struct cairn_deadline deadline = {};

	if (!(current->flags & PF_EXITING)) {
		thread->nvcsw = current->nvcsw;
		thread->restarts = cairn_restart_interrupted();
		set_state(thread, FROZEN_WAITING);
		/* Signals stay pending until the thaw, except fatal ones. */
		cairn_wait_killable(thread->wait, READ_ONCE(thread->thawed));
		/* Whoever thaws has finished cairn_find_deadline() before. */
		if (READ_ONCE(thread->thawed)) {
			found = cairn_frozen_deadline(thread);
			if (found)
				deadline = *found;
		}
	}
	set_state(thread, FROZEN_LEFT);
	kref_put(&thread->ref, thread_free);
	if (deadline.known)
		cairn_restart_syscall(&deadline, others_can_wait);
	/* cairn_exit() waits until every CPU has left this function. */
	module_put(THIS_MODULE);
}

/*
 * A stopped thread keeps the task work queued until it is resumed. The work then
 * does nothing, but pins the module until it has run.
 */
static void thaw_thread(struct cairn_session *session, struct frozen_thread *thread)
{
	lockdep_assert_held(&session->lock);
	/* The TID may have been reused, by another frozen thread. */
	if (xa_load(&session->threads, thread->tid) == thread)
		xa_erase(&session->threads, thread->tid);
	list_del(&thread->list);
	WRITE_ONCE(thread->thawed, true);
	wake_up(&thread->wait);
	kref_put(&thread->ref, thread_free);
}

void cairn_thaw_process(struct cairn_session *session, struct frozen_process *process)
{
	struct frozen_thread *thread, *next;

	lockdep_assert_held(&session->lock);
	list_for_each_entry_safe(thread, next, &process->threads, list)
		thaw_thread(session, thread);
	xa_erase(&session->processes, process->pid);
	kfree(process);
}

void cairn_thaw_all(struct cairn_session *session)
{
	struct frozen_process *process;
	unsigned long pid;

	lockdep_assert_held(&session->lock);
	xa_for_each(&session->processes, pid, process)
		cairn_thaw_process(session, process);
}

struct frozen_process *cairn_frozen_process(struct cairn_session *session,
					    const struct task_struct *task)
{
	struct frozen_process *process;

	lockdep_assert_held(&session->lock);
	process = xa_load(&session->processes, task->tgid);
	if (!process || list_empty(&process->threads) ||
	    process->signal != task->signal)
		return NULL;
	return process;
}

struct frozen_process *cairn_add_process(struct cairn_session *session,
					 const struct task_struct *leader)
{
	struct frozen_process *old, *process;
	int err;

	lockdep_assert_held(&session->lock);
	/* A process that has exited, whose PID was reused. */
	old = xa_load(&session->processes, leader->tgid);
	if (old)
		cairn_thaw_process(session, old);
	process = kzalloc(sizeof(*process), GFP_KERNEL_ACCOUNT);
	if (!process)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&process->threads);
	process->pid = leader->tgid;
	process->signal = leader->signal;
	err = xa_err(xa_store(&session->processes, process->pid, process,
			      GFP_KERNEL_ACCOUNT));
	if (err) {
		kfree(process);
		return ERR_PTR(err);
	}
	return process;
}

bool cairn_is_quiet(const struct frozen_thread *thread)
{
	return cairn_frozen_state(thread) != FROZEN_QUEUED ||
	       task_is_stopped_or_traced(thread->task);
}

bool cairn_note_quiet(struct frozen_thread *thread)
{
	if (cairn_frozen_state(thread) != FROZEN_QUEUED)
		return true;
	if (cairn_on_cpu(thread->task))
		return false;
	thread->switches = cairn_switch_count(thread->task);
	/*
	 * Read the count before the state: a thread that is resumed from the stop
	 * that is seen here has a higher count.
	 */
	smp_rmb();
	thread->stopped = task_is_stopped_or_traced(thread->task);
	return thread->stopped;
}

bool cairn_was_resumed(const struct frozen_thread *thread)
{
	return thread->stopped &&
	       (cairn_frozen_state(thread) != FROZEN_QUEUED ||
		!task_is_stopped_or_traced(thread->task) ||
		cairn_switch_count(thread->task) != thread->switches);
}

bool cairn_any_resumed(struct cairn_session *session,
		       const struct frozen_process *process)
{
	const struct frozen_thread *thread;

	lockdep_assert_held(&session->lock);
	if (!process->stopped)
		return false;
	list_for_each_entry(thread, &process->threads, list)
		if (cairn_was_resumed(thread) &&
		    cairn_frozen_state(thread) != FROZEN_LEFT)
			return true;
	return false;
}

/* Queues the task work, which pins the module and @thread until it has run. */
static bool queue(struct frozen_thread *thread, enum task_work_notify_mode how)
{
	__module_get(THIS_MODULE);
	kref_get(&thread->ref);
	if (!task_work_add(thread->task, &thread->work, how))
		return true;
	module_put(THIS_MODULE);
	kref_put(&thread->ref, thread_free);
	return false;
}

/* Makes a thread run its task work soon. Returns false if the thread exits. */
static bool interrupt(struct frozen_thread *thread)
{
	struct cairn_kick *kick = NULL;

	/* A thread that exits loses its stack. */
	if (!try_get_task_stack(thread->task))
		return false;
	if (cairn_may_have_deadline(thread->task))
		kick = cairn_kick_alloc();
	cairn_put_task_stack(thread->task);
	if (!kick)
		return queue(thread, TWA_SIGNAL);
	/*
	 * TWA_RESUME does not wake the thread, but it cannot return to user space
	 * without the work from now on: a deadline found below is that of the
	 * call from which the thread enters the work.
	 */
	if (!queue(thread, TWA_RESUME)) {
		cairn_kick_free(kick);
		return false;
	}
	cairn_find_deadline(thread->task, &thread->deadline);
	if (!cairn_kick(thread->task, kick))
		cairn_kick_free(kick);
	return true;
}

/*
 * A thread that was frozen under another TID: execve() by a thread that is not the
 * leader gives it the leader's TID, de_thread() in fs/exec.c.
 */
static struct frozen_thread *find_renumbered(struct cairn_session *session,
					     const struct frozen_process *process,
					     struct task_struct *task)
{
	struct frozen_thread *thread;

	lockdep_assert_held(&session->lock);
	if (!thread_group_leader(task))
		return NULL;
	list_for_each_entry(thread, &process->threads, list)
		if (thread->task == task)
			return thread;
	return NULL;
}

/*
 * Stores the thread under its present TID, and drops an exited thread that had the
 * TID before.
 */
static int store_thread(struct cairn_session *session, struct frozen_thread *thread)
{
	struct frozen_thread *old;

	lockdep_assert_held(&session->lock);
	thread->tid = thread->task->pid;
	old = xa_store(&session->threads, thread->tid, thread, GFP_KERNEL_ACCOUNT);
	if (xa_is_err(old))
		return xa_err(old);
	if (old)
		thaw_thread(session, old);
	return 0;
}

static int move_thread(struct cairn_session *session, struct frozen_thread *thread)
{
	lockdep_assert_held(&session->lock);
	if (xa_load(&session->threads, thread->tid) == thread)
		xa_erase(&session->threads, thread->tid);
	return store_thread(session, thread);
}

int cairn_freeze_thread(struct cairn_session *session,
			struct frozen_process *process, struct task_struct *task)
{
	struct frozen_thread *thread = find_renumbered(session, process, task);
	int err;

	if (thread) {
		put_task_struct(task);
		return move_thread(session, thread);
	}
	thread = kzalloc(sizeof(*thread), GFP_KERNEL_ACCOUNT);
	if (!thread) {
		put_task_struct(task);
		return -ENOMEM;
	}
	kref_init(&thread->ref);
	cairn_session_get(session);
	thread->session = session;
	thread->task = task;
	init_waitqueue_head(&thread->wait);
	init_task_work(&thread->work, frozen_run);
	err = store_thread(session, thread);
	if (err) {
		kref_put(&thread->ref, thread_free);
		return err;
	}
	list_add_tail(&thread->list, &process->threads);
	if (!interrupt(thread))
		thaw_thread(session, thread);
	return 0;
}
