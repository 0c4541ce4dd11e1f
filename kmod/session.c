// SPDX-License-Identifier: GPL-2.0
/*
 * Opening and closing a session, and inspecting the threads that it has frozen.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>

#include "frozen.h"
#include "lookup.h"
#include "memory.h"
#include "session.h"
#include "task.h"

static void session_free(struct kref *ref)
{
	struct cairn_session *session =
		container_of(ref, struct cairn_session, ref);

	xa_destroy(&session->threads);
	xa_destroy(&session->processes);
	kfree(session);
}

void cairn_session_get(struct cairn_session *session)
{
	kref_get(&session->ref);
}

void cairn_session_put(struct cairn_session *session)
{
	kref_put(&session->ref, session_free);
}

int cairn_open(struct inode *inode, struct file *file)
{
	struct cairn_session *session;

	session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);
	if (!session)
		return -ENOMEM;
	kref_init(&session->ref);
	mutex_init(&session->lock);
	xa_init(&session->threads);
	xa_init(&session->processes);
	init_waitqueue_head(&session->changed);
	spin_lock_init(&session->frames_lock);
	INIT_LIST_HEAD(&session->frames);
	file->private_data = session;
	return 0;
}

int cairn_close(struct inode *inode, struct file *file)
{
	struct cairn_session *session = file->private_data;

	mutex_lock(&session->lock);
	cairn_thaw_all(session);
	mutex_unlock(&session->lock);
	cairn_free_frames(session);
	cairn_session_put(session);
	return 0;
}

/*
 * A frozen thread of a process whose leader has exited while others run: what they
 * share, the leader has no more.
 */
static struct frozen_thread *find_remaining(struct cairn_session *session,
					    const struct task_struct *leader)
{
	struct frozen_process *process = cairn_frozen_process(session, leader);
	struct frozen_thread *thread;

	lockdep_assert_held(&session->lock);
	if (!process)
		return NULL;
	list_for_each_entry(thread, &process->threads, list)
		if (cairn_frozen_state(thread) != FROZEN_LEFT)
			return thread;
	return NULL;
}

struct task_struct *cairn_inspect_begin(struct file *file, pid_t tid, bool process)
{
	struct cairn_session *session = file->private_data;
	struct task_struct *task = cairn_find_task(tid);
	struct frozen_thread *thread;
	int err = -ESRCH;

	if (IS_ERR(task))
		return task;
	mutex_lock(&session->lock);
	thread = xa_load(&session->threads, task->pid);
	if (process && !thread_group_leader(task))
		goto unlock;
	if (process && (!thread || thread->task != task)) {
		thread = find_remaining(session, task);
		if (!thread)
			goto unlock;
		put_task_struct(task);
		task = get_task_struct(thread->task);
	}
	if (!thread || thread->task != task)
		goto unlock;
	/*
	 * A thread sets its state before it leaves its CPU, and one that was
	 * stopped and then resumed is on its way to the task work.
	 */
	while (!cairn_is_quiet(thread) || cairn_on_cpu(task)) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			goto unlock;
		}
		usleep_range(10, 50);
	}
	if (cairn_frozen_state(thread) == FROZEN_LEFT)
		goto unlock;
	if (cairn_was_resumed(thread)) {
		err = -ESTALE;
		goto unlock;
	}
	if (!try_get_task_stack(task))
		goto unlock;
	session->inspected = task;
	/* The frozen_thread has a reference to the task. */
	put_task_struct(task);
	return task;
unlock:
	mutex_unlock(&session->lock);
	put_task_struct(task);
	return ERR_PTR(err);
}

void cairn_inspect_end(struct file *file)
{
	struct cairn_session *session = file->private_data;

	lockdep_assert_held(&session->lock);
	cairn_put_task_stack(session->inspected);
	mutex_unlock(&session->lock);
}

int cairn_inspect_siglock(struct file *file, pid_t tid, bool process,
			  int (*read)(struct task_struct *task, void *arg), void *arg)
{
	struct task_struct *task = cairn_inspect_begin(file, tid, process);
	int ret;

	if (IS_ERR(task))
		return PTR_ERR(task);
	ret = cairn_with_siglock(task, read, arg);
	cairn_inspect_end(file);
	return ret;
}

const struct cairn_deadline *cairn_inspect_deadline(struct file *file,
						    struct task_struct *task)
{
	struct cairn_session *session = file->private_data;
	struct frozen_thread *thread;

	lockdep_assert_held(&session->lock);
	thread = xa_load(&session->threads, task->pid);
	if (!thread || cairn_frozen_state(thread) != FROZEN_WAITING)
		return NULL;
	return cairn_frozen_deadline(thread);
}

int cairn_check_unchanged(struct file *file, pid_t pid)
{
	struct cairn_session *session = file->private_data;
	struct task_struct *leader = cairn_find_task(pid);
	struct frozen_process *process;
	int err = -ESRCH;

	if (IS_ERR(leader))
		return PTR_ERR(leader);
	mutex_lock(&session->lock);
	process = cairn_frozen_process(session, leader);
	if (process)
		err = cairn_any_resumed(session, process) ? -ESTALE : 0;
	mutex_unlock(&session->lock);
	put_task_struct(leader);
	return err;
}
