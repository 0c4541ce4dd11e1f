// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing and thawing a process: all of its threads, also those that it creates
 * meanwhile.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "cairn.h"
#include "compat.h"
#include "freeze.h"
#include "frozen.h"
#include "lookup.h"
#include "refusal.h"
#include "session.h"
#include "task.h"

/* Nothing wakes us when a thread enters a stop instead of its work: poll. */
#define POLL_INTERVAL	(msecs_to_jiffies(2) ?: 1)
/* The longest timeout that a caller may ask for. */
#define TIMEOUT_MAX_MS	60000

static bool all_quiet(struct cairn_session *session, struct task_struct *leader)
{
	struct frozen_thread *thread;
	struct task_struct *task;
	bool quiet = true;

	lockdep_assert_held(&session->lock);
	rcu_read_lock();
	for_each_thread(leader, task) {
		thread = xa_load(&session->threads, task->pid);
		if (thread && thread->task == task && !cairn_is_quiet(thread)) {
			quiet = false;
			break;
		}
	}
	rcu_read_unlock();
	return quiet;
}

/* Why a thread cannot be frozen; 0 if it can. */
static int check_thread(const struct task_struct *task, u32 flags)
{
	if (task->flags & (PF_KTHREAD | CAIRN_PF_WORKER))
		return -EOPNOTSUPP;
	if (task->ptrace && !(flags & CAIRN_FREEZE_TRACED))
		return -EBUSY;
	return 0;
}

/*
 * Freezes every thread that is not in the session yet, except those that exit.
 * Returns their number, or an error.
 */
static int freeze_new(struct cairn_session *session, struct frozen_process *process,
		      struct task_struct *leader, u32 flags)
{
	struct task_struct *task, **fresh;
	int room, count = 0, err = 0, i;

	lockdep_assert_held(&session->lock);
	/* Threads beyond that are found by the next call. */
	room = get_nr_threads(leader) + 16;
	fresh = kvmalloc_array(room, sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return -ENOMEM;
	rcu_read_lock();
	for_each_thread(leader, task) {
		struct frozen_thread *thread;

		thread = xa_load(&session->threads, task->pid);
		if ((thread && thread->task == task) || task->flags & PF_EXITING)
			continue;
		err = check_thread(task, flags);
		if (err || count == room)
			break;
		get_task_struct(task);
		fresh[count++] = task;
	}
	rcu_read_unlock();
	for (i = 0; i < count; i++) {
		if (!err)
			err = cairn_freeze_thread(session, process, fresh[i]);
		else
			put_task_struct(fresh[i]);
	}
	kvfree(fresh);
	return err ?: count;
}

static bool note_all_quiet(struct cairn_session *session, struct frozen_process *process)
{
	struct frozen_thread *thread;

	lockdep_assert_held(&session->lock);
	process->stopped = 0;
	list_for_each_entry(thread, &process->threads, list) {
		if (!cairn_note_quiet(thread))
			return false;
		process->stopped += thread->stopped;
	}
	return true;
}

static int freeze_threads(struct cairn_session *session,
			  struct frozen_process *process, struct task_struct *leader,
			  const struct cairn_freeze *freeze)
{
	u32 timeout = min_t(u32, freeze->timeout_ms, TIMEOUT_MAX_MS);
	unsigned long deadline = jiffies + msecs_to_jiffies(timeout) + 1;
	int fresh;

	lockdep_assert_held(&session->lock);
	for (;;) {
		fresh = freeze_new(session, process, leader, freeze->flags);
		if (fresh < 0)
			return fresh;
		while (!all_quiet(session, leader)) {
			wait_event_killable_timeout(session->changed,
						    all_quiet(session, leader),
						    POLL_INTERVAL);
			if (fatal_signal_pending(current))
				return -EINTR;
			if (time_after(jiffies, deadline) &&
			    !all_quiet(session, leader))
				return -ETIMEDOUT;
		}
		if (fresh)
			continue;
		if (note_all_quiet(session, process))
			return 0;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		usleep_range(10, 50);
	}
}

/*
 * Each thread has its own credentials, and could change them until it was frozen,
 * also by execve() of a set-uid program. Frozen threads cannot.
 */
static bool may_access_all(struct cairn_session *session,
			   const struct frozen_process *process)
{
	const struct frozen_thread *thread;

	lockdep_assert_held(&session->lock);
	list_for_each_entry(thread, &process->threads, list)
		if (cairn_frozen_state(thread) != FROZEN_LEFT &&
		    !cairn_ptrace_may_access(thread->task,
					     PTRACE_MODE_ATTACH_REALCREDS))
			return false;
	return true;
}

static int freeze_locked(struct cairn_session *session,
			 struct task_struct *leader, struct cairn_freeze *freeze)
{
	struct frozen_process *process = cairn_frozen_process(session, leader);
	const struct frozen_thread *thread;
	int err;

	lockdep_assert_held(&session->lock);
	if (process)
		return -EALREADY;
	process = cairn_add_process(session, leader);
	if (IS_ERR(process))
		return PTR_ERR(process);
	err = freeze_threads(session, process, leader, freeze);
	if (!err && !may_access_all(session, process))
		err = cairn_refused("to freeze", task_pid_nr(leader));
	if (err) {
		cairn_thaw_process(session, process);
		return err;
	}
	freeze->threads = 0;
	list_for_each_entry(thread, &process->threads, list)
		if (cairn_frozen_state(thread) != FROZEN_LEFT)
			freeze->threads++;
	return 0;
}

int cairn_freeze(struct file *file, union cairn_argument *arg)
{
	struct cairn_session *session = file->private_data;
	struct cairn_freeze *freeze = &arg->freeze;
	struct task_struct *leader;
	int err;

	if (freeze->flags & ~CAIRN_FREEZE_TRACED || freeze->reserved)
		return -EINVAL;
	leader = cairn_find_leader(freeze->pid);
	if (IS_ERR(leader))
		return PTR_ERR(leader);
	if (leader->flags & PF_KTHREAD)
		err = -EOPNOTSUPP;
	else if (same_thread_group(leader, current))
		err = -EDEADLK;
	else if (!cairn_ptrace_may_access(leader, PTRACE_MODE_ATTACH_REALCREDS))
		err = cairn_refused("to freeze", task_pid_nr(leader));
	else
		err = mutex_lock_killable(&session->lock);
	if (!err) {
		err = freeze_locked(session, leader, freeze);
		mutex_unlock(&session->lock);
	}
	put_task_struct(leader);
	return err;
}

static int thaw_locked(struct cairn_session *session, pid_t pid)
{
	struct task_struct *task = cairn_find_task(pid);
	struct frozen_process *process;

	lockdep_assert_held(&session->lock);
	if (IS_ERR(task))
		return PTR_ERR(task);
	process = cairn_frozen_process(session, task);
	if (process)
		cairn_thaw_process(session, process);
	put_task_struct(task);
	return process ? 0 : -ESRCH;
}

int cairn_thaw(struct file *file, union cairn_argument *arg)
{
	struct cairn_session *session = file->private_data;
	int err = 0;

	mutex_lock(&session->lock);
	if (arg->thaw.pid)
		err = thaw_locked(session, arg->thaw.pid);
	else
		cairn_thaw_all(session);
	mutex_unlock(&session->lock);
	return err;
}
