// SPDX-License-Identifier: GPL-2.0
/*
 * State that the threads of a process share.
 */
#include <linux/mm.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "cairn.h"
#include "compat.h"
#include "process.h"
#include "session.h"
#include "settings.h"
#include "task.h"
#include "timer.h"

/* mlockall(2): 1 for MCL_FUTURE, 2 with MCL_ONFAULT. */
static u32 lock_future_of(const struct mm_struct *mm)
{
	if (!(mm->def_flags & VM_LOCKED))
		return 0;
	return mm->def_flags & VM_LOCKONFAULT ? 2 : 1;
}

static int read_memory(struct task_struct *leader, struct cairn_process *process)
{
	struct mm_struct *mm = get_task_mm(leader);

	if (!mm)
		return -ESRCH;
	process->brk = mm->brk;
	process->lock_future = lock_future_of(mm);
	process->pkeys = cairn_pkeys(mm);
	process->thp_disable = cairn_thp_disable(mm);
	process->dumpable = cairn_dumpable(leader, mm);
	cairn_process_settings(leader, mm, process);
	mmput(mm);
	return 0;
}

static void read_limits(struct task_struct *leader, struct cairn_process *process)
{
	int i;

	static_assert(RLIM_NLIMITS == CAIRN_RLIMITS);

	task_lock(leader);
	for (i = 0; i < CAIRN_RLIMITS; i++) {
		process->rlim_cur[i] = leader->signal->rlim[i].rlim_cur;
		process->rlim_max[i] = leader->signal->rlim[i].rlim_max;
	}
	task_unlock(leader);
}

static int read_signal(struct task_struct *leader, void *arg)
{
	const struct signal_struct *signal = leader->signal;
	struct cairn_process *process = arg;

	cairn_assert_siglock(leader);
	process->subreaper = signal->is_child_subreaper;
	process->stop_report = 0;
	if (signal->flags & SIGNAL_STOP_STOPPED)
		process->stop_report = signal->group_exit_code;
	process->continue_report = !!(signal->flags & SIGNAL_STOP_CONTINUED);
	cairn_interval_timers(leader, process);
	return 0;
}

int cairn_get_process(struct file *file, union cairn_argument *arg)
{
	struct cairn_process *process = &arg->process;
	struct task_struct *leader = cairn_inspect_begin(file, process->pid, true);
	int ret;

	if (IS_ERR(leader))
		return PTR_ERR(leader);
	ret = read_memory(leader, process);
	if (!ret) {
		read_limits(leader, process);
		ret = cairn_with_siglock(leader, read_signal, process);
	}
	cairn_inspect_end(file);
	return ret;
}

static int read_actions(struct task_struct *leader, void *arg)
{
	struct sighand_struct *sighand =
		rcu_dereference_protected(leader->sighand, true);
	struct cairn_action *actions = arg;
	int i;

	static_assert(_NSIG == CAIRN_SIGNALS);

	cairn_assert_siglock(leader);
	for (i = 0; i < CAIRN_SIGNALS; i++) {
		const struct sigaction *sa = &sighand->action[i].sa;

		actions[i].handler = (unsigned long)sa->sa_handler;
		actions[i].flags = sa->sa_flags;
		actions[i].restorer = cairn_sa_restorer(sa);
		actions[i].mask = cairn_sigset(&sa->sa_mask);
	}
	return 0;
}

int cairn_get_actions(struct file *file, union cairn_argument *arg)
{
	struct cairn_actions *wanted = &arg->actions;
	struct cairn_action *actions;
	int ret;

	actions = kcalloc(CAIRN_SIGNALS, sizeof(*actions), GFP_KERNEL_ACCOUNT);
	if (!actions)
		return -ENOMEM;
	ret = cairn_inspect_siglock(file, wanted->pid, true, read_actions, actions);
	if (!ret && copy_to_user(u64_to_user_ptr(wanted->addr), actions,
				 CAIRN_SIGNALS * sizeof(*actions)))
		ret = -EFAULT;
	kfree(actions);
	return ret;
}
