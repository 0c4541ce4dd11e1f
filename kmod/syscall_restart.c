// SPDX-License-Identifier: GPL-2.0
/*
 * Restarting system calls that fail with EINTR after any interruption.
 *
 * The timeout of such a call is found in the hrtimer on the stack of the thread
 * that sleeps in it. The call is restarted from a task work, with an hrtimer of the
 * module that ends it at the same time.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>

#include <asm/syscall.h>

#include "arch.h"
#include "compat.h"
#include "lookup.h"
#include "syscall_restart.h"
#include "task.h"

/**
 * struct restartable - a system call without side effects when it fails with
 * EINTR, so that it can be restarted
 * @nr: its number
 * @timed_out: what it returns on timeout
 * @call: makes it with the arguments in the registers; NULL if its deadline is not
 *	found: the kernel restarts it with its full timeout
 */
struct restartable {
	int nr;
	long timed_out;
	long (*call)(const struct pt_regs *regs);
};

static const struct restartable restartables[] = {
	{ __NR_rt_sigtimedwait, -EAGAIN, CAIRN_SYSCALL(rt_sigtimedwait) },
	{ __NR_semtimedop, -EAGAIN, CAIRN_SYSCALL(semtimedop) },
	{ __NR_epoll_pwait, 0, CAIRN_SYSCALL(epoll_pwait) },
#ifdef __NR_epoll_wait
	{ __NR_epoll_wait, 0, CAIRN_SYSCALL(epoll_wait) },
#endif
#ifdef __NR_epoll_pwait2	/* 5.11 */
	{ __NR_epoll_pwait2 },
#endif
#ifdef __NR_semop
	{ __NR_semop },
#endif
	{ __NR_io_getevents },
};

static const struct restartable *restartable_of(int nr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(restartables); i++)
		if (restartables[i].nr == nr)
			return &restartables[i];
	return NULL;
}

/* One that can be restarted with its original deadline. */
static const struct restartable *with_deadline(int nr)
{
	const struct restartable *restartable = restartable_of(nr);

	return restartable && restartable->call ? restartable : NULL;
}

/* The function of the hrtimers that end sleeps. */
static unsigned long hrtimer_wakeup_at __ro_after_init;

/*
 * Task works of the scheduler, which nothing waits for. Static functions, looked up
 * by kallsyms.
 */
static struct scheduler_work {
	const char *name;
	unsigned long func;
} scheduler_works[] __ro_after_init = {
	{ "task_numa_work" },
	{ "task_mm_cid_work" },		/* 6.3 to 6.18 */
};

bool __init cairn_syscall_restart_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(scheduler_works); i++)
		scheduler_works[i].func = cairn_lookup_address(scheduler_works[i].name);
	hrtimer_wakeup_at = cairn_lookup_address("hrtimer_wakeup");
	if (!hrtimer_wakeup_at)
		pr_info("this kernel has no hrtimer_wakeup, by which timeouts are found\n");
	return hrtimer_wakeup_at;
}

/* A task work that does nothing: a pending work interrupts sleeps. */
struct cairn_kick {
	struct callback_head work;
};

static void kicked(struct callback_head *work)
{
	kfree(container_of(work, struct cairn_kick, work));
	/* cairn_exit() waits until every CPU has left this function. */
	module_put(THIS_MODULE);
}

struct cairn_kick *cairn_kick_alloc(void)
{
	struct cairn_kick *kick = kmalloc(sizeof(*kick), GFP_KERNEL_ACCOUNT);

	if (kick) {
		__module_get(THIS_MODULE);
		init_task_work(&kick->work, kicked);
	}
	return kick;
}

void cairn_kick_free(struct cairn_kick *kick)
{
	if (kick)
		kicked(&kick->work);
}

bool cairn_kick(struct task_struct *task, struct cairn_kick *kick)
{
	return !task_work_add(task, &kick->work, TWA_SIGNAL);
}

/**
 * struct call_timer - ends a system call that the module restarts
 * @sleeper: on the stack of the thread, where cairn_find_deadline() finds it
 * @kick: sent when the timer fires, which sets it to NULL
 */
struct call_timer {
	struct hrtimer_sleeper sleeper;
	struct cairn_kick *kick;
};

/*
 * wake_up_process() would not do: the thread may be about to sleep. A pending task
 * work prevents that.
 */
static enum hrtimer_restart call_timer_fires(struct hrtimer *timer)
{
	struct call_timer *call_timer =
		container_of(timer, struct call_timer, sleeper.timer);

	if (cairn_kick(call_timer->sleeper.task, call_timer->kick))
		WRITE_ONCE(call_timer->kick, NULL);
	return HRTIMER_NORESTART;
}

bool cairn_may_have_deadline(struct task_struct *task)
{
	return hrtimer_wakeup_at &&
	       with_deadline(syscall_get_nr(task, task_pt_regs(task)));
}

/* Whether the timer that this is a copy of ends a sleep of the task. */
static bool ends_sleep(struct hrtimer_sleeper *copy, struct task_struct *task)
{
	unsigned long function = (unsigned long)cairn_timer_function(&copy->timer);

	return copy->task == task && hrtimer_is_queued(&copy->timer) &&
	       (function == hrtimer_wakeup_at ||
		function == (unsigned long)call_timer_fires);
}

/*
 * Finds the first deadline in a copy of the stack. All calls with a deadline sleep
 * on CLOCK_MONOTONIC: schedule_hrtimeout_range() in kernel/time/.
 */
static void search_stack(void *copy, size_t len, struct task_struct *task,
			 struct cairn_deadline *deadline)
{
	size_t at;

	for (at = 0; at + sizeof(struct hrtimer_sleeper) <= len; at += sizeof(long)) {
		struct hrtimer_sleeper *sleeper = copy + at;
		s64 time;

		if (!ends_sleep(sleeper, task))
			continue;
		time = ktime_to_ns(hrtimer_get_softexpires(&sleeper->timer));
		if (!deadline->known || time < deadline->time) {
			deadline->known = true;
			deadline->time = time;
		}
	}
}

/* Whether the thread sleeps; @nvcsw identifies the sleep. */
static bool is_asleep(struct task_struct *task, unsigned long *nvcsw)
{
	*nvcsw = READ_ONCE(task->nvcsw);
	return !cairn_on_cpu(task) && cairn_is_interruptible(task);
}

void cairn_find_deadline(struct task_struct *task, struct cairn_deadline *deadline)
{
	unsigned long nvcsw, bottom, top;
	void *copy;

	if (!is_asleep(task, &deadline->nvcsw))
		return;
	/* Not dereferenced: the stack is not pinned. */
	top = (unsigned long)task_pt_regs(task);
	bottom = cairn_stack_pointer(task);
	if (bottom >= top || top - bottom > THREAD_SIZE)
		return;
	copy = kvmalloc(top - bottom, GFP_KERNEL_ACCOUNT);
	if (!copy)
		return;
	/*
	 * The thread may wake up, and even exit and lose its stack. The copy is
	 * that of a sleeping thread if it is still in the same sleep afterwards.
	 */
	if (!copy_from_kernel_nofault(copy, (void *)bottom, top - bottom)) {
		search_stack(copy, top - bottom, task, deadline);
		if (!is_asleep(task, &nvcsw) || nvcsw != deadline->nvcsw)
			deadline->known = false;
	}
	kvfree(copy);
}

bool cairn_restart_interrupted(void)
{
	struct pt_regs *regs = current_pt_regs();

	if (in_compat_syscall() || syscall_get_error(current, regs) != -EINTR ||
	    !restartable_of(syscall_get_nr(current, regs)))
		return false;
	syscall_set_return_value(current, regs, -ERESTARTNOHAND, 0);
	return true;
}

/* Resets the flags of an interruption whose work has run. */
static int clear_interruption(struct task_struct *task, void *arg)
{
	cairn_assert_siglock(task);
	cairn_clear_notify_signal(task);
	recalc_sigpending();
	return 0;
}

bool cairn_works_can_wait(const struct callback_head *work)
{
	for (; work; work = READ_ONCE(work->next)) {
		unsigned long func = (unsigned long)work->func;
		bool can = func == (unsigned long)kicked;
		int i;

		for (i = 0; i < ARRAY_SIZE(scheduler_works); i++)
			can |= func == scheduler_works[i].func;
		if (!can)
			return false;
	}
	return true;
}

/*
 * Whether the current thread may sleep in a task work. The sleep delays the works
 * after it and whoever waits for them: the rest of the list that task_work_run()
 * has taken off, and the works queued since.
 */
static bool may_sleep(bool others_can_wait)
{
	if (!others_can_wait || fatal_signal_pending(current))
		return false;
	cairn_with_siglock(current, clear_interruption, NULL);
	/*
	 * Clear the flags before reading the list: a work that is queued later
	 * sets them again, which interrupts the sleep.
	 */
	smp_mb();
	return cairn_works_can_wait(READ_ONCE(current->task_works));
}

/*
 * After an interrupted epoll_pwait(2) the mask that it was given is still the
 * thread's, restore_saved_sigmask_unless() in include/linux/sched/signal.h, and a
 * second call would save that as the mask to restore. The kernel calls
 * restore_saved_sigmask() before it restarts a system call; the function which that
 * calls is not exported.
 */
static void restore_mask(void)
{
	sigset_t own = current->saved_sigmask;

	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &own, NULL);
}

/* Makes the system call that the registers describe. Consumes @kick. */
static void call_until(const struct restartable *restartable, s64 deadline,
		       struct cairn_kick *kick)
{
	struct call_timer timer = { .kick = kick };
	struct pt_regs *regs = current_pt_regs();
	long result;

	cairn_timer_on_stack(&timer.sleeper.timer, call_timer_fires,
			     CLOCK_MONOTONIC);
	timer.sleeper.task = current;
	hrtimer_start(&timer.sleeper.timer, ns_to_ktime(deadline), HRTIMER_MODE_ABS);
	restore_mask();
	result = restartable->call(regs);
	hrtimer_cancel(&timer.sleeper.timer);
	destroy_hrtimer_on_stack(&timer.sleeper.timer);
	if (result == -EINTR && !timer.kick)
		result = restartable->timed_out;
	cairn_kick_free(timer.kick);
	syscall_set_return_value(current, regs, result, 0);
}

void cairn_restart_syscall(const struct cairn_deadline *deadline, bool others_can_wait)
{
	int nr = syscall_get_nr(current, current_pt_regs());
	const struct restartable *restartable = with_deadline(nr);
	struct cairn_kick *kick;

	if (!restartable)
		return;
	kick = cairn_kick_alloc();
	/* Without memory the kernel restarts it, with its full timeout. */
	if (!kick)
		return;
	if (may_sleep(others_can_wait))
		call_until(restartable, deadline->time, kick);
	else
		cairn_kick_free(kick);
}

/**
 * struct queued_call - a system call that a thread makes from a task work
 * @work: the task work
 * @deadline: on CLOCK_MONOTONIC, in nanoseconds
 * @kick: for its call_timer
 */
struct queued_call {
	struct callback_head work;
	s64 deadline;
	struct cairn_kick *kick;
};

static void queued_call_free(struct queued_call *queued)
{
	cairn_kick_free(queued->kick);
	kfree(queued);
	module_put(THIS_MODULE);
}

/*
 * The interrupted system call that the kernel is about to restart; -1 if there is
 * none. get_signal() in kernel/signal.c runs task works before that.
 */
static int interrupted_syscall(struct pt_regs *regs)
{
	if (syscall_get_error(current, regs) != -ERESTARTNOHAND)
		return -1;
	return syscall_get_nr(current, regs);
}

static void queued_call_run(struct callback_head *work)
{
	struct queued_call *queued = container_of(work, struct queued_call, work);
	struct pt_regs *regs = current_pt_regs();
	bool others_can_wait = cairn_works_can_wait(work->next);
	const struct restartable *restartable;
	int nr = interrupted_syscall(regs);
	bool ahead = nr < 0;

	if (!(current->flags & PF_EXITING)) {
		restartable = with_deadline(ahead ? cairn_next_syscall(regs) : nr);
		if (restartable && may_sleep(others_can_wait)) {
			struct cairn_kick *kick = queued->kick;

			queued->kick = NULL;
			if (ahead)
				cairn_enter_syscall(regs);
			call_until(restartable, queued->deadline, kick);
		}
	}
	queued_call_free(queued);
}

int cairn_queue_syscall(struct task_struct *task, s64 deadline)
{
	struct queued_call *queued = kmalloc(sizeof(*queued), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!queued)
		return -ENOMEM;
	__module_get(THIS_MODULE);
	queued->deadline = deadline;
	queued->kick = cairn_kick_alloc();
	init_task_work(&queued->work, queued_call_run);
	if (queued->kick)
		err = task_work_add(task, &queued->work, TWA_RESUME);
	if (err)
		queued_call_free(queued);
	return err;
}
