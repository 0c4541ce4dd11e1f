// SPDX-License-Identifier: GPL-2.0
/*
 * State of one thread: registers, signal mask, registrations, pending signals.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/regset.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "cairn.h"
#include "compat.h"
#include "session.h"
#include "settings.h"
#include "sleep.h"
#include "task.h"
#include "thread.h"

/* Larger than any register set. */
#define REGSET_MAX	(128 * 1024)
/* The most pending signals that a caller may ask for. */
#define PENDING_MAX	(1024 * 1024)

static u32 state_of(struct task_struct *task)
{
	if (task_is_traced(task))
		return CAIRN_STATE_TRACED;
	if (task_is_stopped(task))
		return CAIRN_STATE_STOPPED;
	return CAIRN_STATE_FROZEN;
}

static u64 sigmask_of(struct task_struct *task)
{
	const sigset_t *set = &task->blocked;

	if (test_tsk_restore_sigmask(task))
		set = &task->saved_sigmask;
	return cairn_sigset(set);
}

static u32 mce_kill_of(const struct task_struct *task)
{
	if (!(task->flags & PF_MCE_PROCESS))
		return PR_MCE_KILL_DEFAULT;
	return task->flags & PF_MCE_EARLY ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
}

int cairn_get_thread(struct file *file, union cairn_argument *arg)
{
	struct cairn_thread *thread = &arg->thread;
	struct task_struct *task = cairn_inspect_begin(file, thread->tid, false);
	const struct cred *cred;

	if (IS_ERR(task))
		return PTR_ERR(task);
	thread->state = state_of(task);
	thread->stop_signal = 0;
	if (thread->state == CAIRN_STATE_STOPPED)
		thread->stop_signal = task->jobctl & JOBCTL_STOP_SIGMASK;
	thread->sigmask = sigmask_of(task);
	thread->altstack_sp = task->sas_ss_sp;
	thread->altstack_size = task->sas_ss_size;
	thread->altstack_flags = task->sas_ss_flags;
	if (!task->sas_ss_size)
		thread->altstack_flags |= SS_DISABLE;
	thread->pdeath_signal = task->pdeath_signal;
	thread->clear_child_tid = (unsigned long)task->clear_child_tid;
	cairn_rseq(task, thread);
	thread->timer_slack = task->timer_slack_ns;
	thread->tsc = cairn_tsc(task);
	thread->mce_kill = mce_kill_of(task);
	rcu_read_lock();
	cred = __task_cred(task);
	thread->securebits = cred->securebits;
	rcu_read_unlock();
	cairn_thread_settings(task, thread);
	cairn_get_sleep(task, cairn_inspect_deadline(file, task), thread);
	cairn_inspect_end(file);
	return 0;
}

static const struct user_regset *find_regset(const struct user_regset_view *view,
					     u32 note)
{
	unsigned int i;

	for (i = 0; i < view->n; i++)
		if (view->regsets[i].core_note_type == note)
			return &view->regsets[i];
	return NULL;
}

int cairn_get_regset(struct file *file, union cairn_argument *arg)
{
	struct cairn_regset *wanted = &arg->regset;
	const struct user_regset *regset;
	struct task_struct *task;
	unsigned int room;
	void *data;
	int ret;

	if (wanted->reserved)
		return -EINVAL;
	room = min_t(u64, wanted->len, REGSET_MAX);
	data = kvzalloc(room, GFP_KERNEL_ACCOUNT);
	if (!data)
		return -ENOMEM;
	task = cairn_inspect_begin(file, wanted->tid, false);
	ret = PTR_ERR_OR_ZERO(task);
	if (ret)
		goto free;
	ret = -EINVAL;
	regset = find_regset(task_user_regset_view(task), wanted->note);
	if (regset && room && !(room % regset->size)) {
		if (regset->active && regset->active(task, regset) <= 0)
			ret = -ENODEV;
		else
			ret = regset_get(task, regset, room, data);
	}
	cairn_inspect_end(file);
	if (ret < 0)
		goto free;
	wanted->len = ret;
	ret = 0;
	if (copy_to_user(u64_to_user_ptr(wanted->addr), data, wanted->len))
		ret = -EFAULT;
free:
	kvfree(data);
	return ret;
}

struct queue {
	bool shared;
	u64 room;
	u64 count;
	void *data;
};

/* Copies as many signals as there is room for, and counts all of them. */
static int read_queue(struct task_struct *task, void *arg)
{
	const struct sigpending *pending = &task->pending;
	const struct sigqueue *queued;
	struct queue *queue = arg;

	cairn_assert_siglock(task);
	if (queue->shared)
		pending = &task->signal->shared_pending;
	list_for_each_entry(queued, &pending->list, list) {
		if (queue->count < queue->room)
			memcpy(queue->data + queue->count * CAIRN_SIGINFO_SIZE,
			       &queued->info, sizeof(queued->info));
		queue->count++;
	}
	return 0;
}

int cairn_get_pending(struct file *file, union cairn_argument *arg)
{
	struct cairn_pending *wanted = &arg->pending;
	struct queue queue = { .shared = wanted->shared, .room = wanted->count };
	int ret;

	static_assert(sizeof_field(struct sigqueue, info) <= CAIRN_SIGINFO_SIZE);

	if (wanted->shared > 1 || wanted->reserved || wanted->count > PENDING_MAX)
		return -EINVAL;
	queue.data = kvcalloc(max_t(u64, queue.room, 1), CAIRN_SIGINFO_SIZE,
			      GFP_KERNEL_ACCOUNT);
	if (!queue.data)
		return -ENOMEM;
	ret = cairn_inspect_siglock(file, wanted->tid, false, read_queue, &queue);
	if (!ret) {
		wanted->count = queue.count;
		if (copy_to_user(u64_to_user_ptr(wanted->addr), queue.data,
				 min(queue.count, queue.room) * CAIRN_SIGINFO_SIZE))
			ret = -EFAULT;
	}
	kvfree(queue.data);
	return ret;
}
