// SPDX-License-Identifier: GPL-2.0
/*
 * Looking up a task, and taking its siglock.
 */
#include <linux/err.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/spinlock.h>

#include "task.h"

struct task_struct *cairn_find_task(pid_t nr)
{
	struct task_struct *task;
	struct pid *pid;

	if (nr <= 0)
		return ERR_PTR(-ESRCH);
	pid = find_get_pid(nr);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	return task ?: ERR_PTR(-ESRCH);
}

struct task_struct *cairn_find_leader(pid_t nr)
{
	struct task_struct *task;
	struct pid *pid;

	if (nr <= 0)
		return ERR_PTR(-ESRCH);
	pid = find_get_pid(nr);
	task = get_pid_task(pid, PIDTYPE_TGID);
	if (!task)
		task = ERR_PTR(pid && pid_has_task(pid, PIDTYPE_PID) ? -EINVAL : -ESRCH);
	put_pid(pid);
	return task;
}

int cairn_with_siglock(struct task_struct *task,
		       int (*read)(struct task_struct *task, void *arg),
		       void *arg)
{
	struct sighand_struct *sighand;
	bool same = false;
	int ret = -ESRCH;

	rcu_read_lock();
	while (!same) {
		sighand = rcu_dereference(task->sighand);
		if (!sighand)
			break;
		spin_lock_irq(&sighand->siglock);
		/* sighand_struct is SLAB_TYPESAFE_BY_RCU: recheck after locking. */
		same = sighand == rcu_access_pointer(task->sighand);
		if (same)
			ret = read(task, arg);
		spin_unlock_irq(&sighand->siglock);
	}
	rcu_read_unlock();
	return ret;
}
