// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that end with EINTR whatever interrupts them, and are made again.
 *
 * When they would have ended by themselves is known to nobody but a timer on the
 * stack of the thread that sleeps in one. It is read there, and the call is made
 * again from here, with a timer of ours that ends it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/errno.h>
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

#include "cairn.h"
#include "compat.h"
#include "lookup.h"
#include "session.h"

/**
 * struct repeatable - a call that does nothing when it ends with EINTR, so that
 * it can be made again: signal(7), "not restarted"
 * @nr: its number
 * @timed_out: what it returns when its time is over
 * @make: makes it with the arguments in the registers; NULL when its time is not
 *	looked for
 */
struct repeatable {
	int nr;
	long timed_out;
	long (*make)(const struct pt_regs *regs);
};

static const struct repeatable repeatables[] = {
	{ __NR_rt_sigtimedwait, -EAGAIN, CAIRN_MAKES(rt_sigtimedwait) },
	{ __NR_semtimedop, -EAGAIN, CAIRN_MAKES(semtimedop) },
	{ __NR_epoll_pwait, 0, CAIRN_MAKES(epoll_pwait) },
#ifdef __NR_epoll_wait
	{ __NR_epoll_wait, 0, CAIRN_MAKES(epoll_wait) },
#endif
#ifdef __NR_epoll_pwait2	/* 5.11 */
	{ __NR_epoll_pwait2 },
#endif
#ifdef __NR_semop
	{ __NR_semop },
#endif
	{ __NR_io_getevents },
};

static const struct repeatable *repeatable_of(int nr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(repeatables); i++)
		if (repeatables[i].nr == nr)
			return &repeatables[i];
	return NULL;
}

/* One that can be made until its end. */
static const struct repeatable *limited_of(int nr)
{
	const struct repeatable *repeatable = repeatable_of(nr);

	return repeatable && repeatable->make ? repeatable : NULL;
}

/* The function of the timers that end sleeps. */
static unsigned long hrtimer_wakeup_at __ro_after_init;

/*
 * Works of the scheduler's, which nobody waits for: they look through memory now
 * and then. Static; kallsyms knows them where they are.
 */
static struct patient {
	const char *name;
	unsigned long func;
} patients[] __ro_after_init = {
	{ "task_numa_work" },
	{ "task_mm_cid_work" },		/* 6.3 to 6.18 */
};

bool __init cairn_again_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(patients); i++)
		patients[i].func = cairn_lookup_address(patients[i].name);
	hrtimer_wakeup_at = cairn_lookup_address("hrtimer_wakeup");
	if (!hrtimer_wakeup_at)
		pr_info("this kernel has no hrtimer_wakeup, which tells the ends of sleeps\n");
	return hrtimer_wakeup_at;
}

/* A work that does nothing: what counts is that it waits. */
struct cairn_nudge {
	struct callback_head work;
};

static void nudged(struct callback_head *work)
{
	kfree(container_of(work, struct cairn_nudge, work));
	/* cairn_exit() waits until nobody is behind this line any more. */
	module_put(THIS_MODULE);
}

struct cairn_nudge *cairn_nudge_alloc(void)
{
	struct cairn_nudge *nudge = kmalloc(sizeof(*nudge), GFP_KERNEL_ACCOUNT);

	if (nudge) {
		__module_get(THIS_MODULE);
		init_task_work(&nudge->work, nudged);
	}
	return nudge;
}

void cairn_nudge_free(struct cairn_nudge *nudge)
{
	if (nudge)
		nudged(&nudge->work);
}

bool cairn_nudge(struct task_struct *task, struct cairn_nudge *nudge)
{
	return !task_work_add(task, &nudge->work, TWA_SIGNAL);
}

/**
 * struct deadline - ends a call that the thread itself makes
 * @sleeper: on its stack, where the next one who looks for the end finds it
 * @nudge: what is sent when it is over; NULL from then on
 */
struct deadline {
	struct hrtimer_sleeper sleeper;
	struct cairn_nudge *nudge;
};

/*
 * Waking the thread would not do: it may be about to sleep. A work that is
 * waiting for it does not let it.
 */
static enum hrtimer_restart deadline_passes(struct hrtimer *timer)
{
	struct deadline *deadline =
		container_of(timer, struct deadline, sleeper.timer);

	if (cairn_nudge(deadline->sleeper.task, deadline->nudge))
		WRITE_ONCE(deadline->nudge, NULL);
	return HRTIMER_NORESTART;
}

bool cairn_may_have_end(struct task_struct *task)
{
	return hrtimer_wakeup_at &&
	       limited_of(syscall_get_nr(task, task_pt_regs(task)));
}

/* Whether a timer, of which this is a copy, ends a sleep of the task. */
static bool ends_sleep(struct hrtimer_sleeper *copy, struct task_struct *task)
{
	unsigned long function = (unsigned long)cairn_timer_function(&copy->timer);

	return copy->task == task && hrtimer_is_queued(&copy->timer) &&
	       (function == hrtimer_wakeup_at ||
		function == (unsigned long)deadline_passes);
}

/*
 * Looks for the first end in a copy of the stack. All calls that are looked for
 * sleep by CLOCK_MONOTONIC: schedule_hrtimeout_range() in kernel/time/.
 */
static void search(void *copy, size_t len, struct task_struct *task,
		   struct cairn_end *end)
{
	size_t at;

	for (at = 0; at + sizeof(struct hrtimer_sleeper) <= len; at += sizeof(long)) {
		struct hrtimer_sleeper *sleeper = copy + at;
		s64 time;

		if (!ends_sleep(sleeper, task))
			continue;
		time = ktime_to_ns(hrtimer_get_softexpires(&sleeper->timer));
		if (!end->known || time < end->time) {
			end->known = true;
			end->time = time;
		}
	}
}

/* Whether the thread is asleep, and for which time in its life. */
static bool is_asleep(struct task_struct *task, unsigned long *sleep)
{
	*sleep = READ_ONCE(task->nvcsw);
	return !cairn_on_cpu(task) && cairn_is_interruptible(task);
}

void cairn_find_end(struct task_struct *task, struct cairn_end *end)
{
	unsigned long sleep, bottom, top;
	void *copy;

	if (!is_asleep(task, &end->sleep))
		return;
	/* Only numbers: the stack may go away. */
	top = (unsigned long)task_pt_regs(task);
	bottom = cairn_stack_pointer(task);
	if (bottom >= top || top - bottom > THREAD_SIZE)
		return;
	copy = kvmalloc(top - bottom, GFP_KERNEL_ACCOUNT);
	if (!copy)
		return;
	/*
	 * It may be woken, and may even end and lose its stack. What was read
	 * is of a sleep when it is still the same one afterwards.
	 */
	if (!copy_from_kernel_nofault(copy, (void *)bottom, top - bottom)) {
		search(copy, top - bottom, task, end);
		if (!is_asleep(task, &sleep) || sleep != end->sleep)
			end->known = false;
	}
	kvfree(copy);
}

bool cairn_interrupted(void)
{
	struct pt_regs *regs = current_pt_regs();

	if (in_compat_syscall() || syscall_get_error(current, regs) != -EINTR ||
	    !repeatable_of(syscall_get_nr(current, regs)))
		return false;
	syscall_set_return_value(current, regs, -ERESTARTNOHAND, 0);
	return true;
}

/* What is left of an interruption for which there is no reason any more. */
static int forget_interruption(struct task_struct *task, void *arg)
{
	cairn_forget_works(task);
	recalc_sigpending();
	return 0;
}

bool cairn_can_wait(const struct callback_head *work)
{
	for (; work; work = READ_ONCE(work->next)) {
		unsigned long func = (unsigned long)work->func;
		bool can = func == (unsigned long)nudged;
		int i;

		for (i = 0; i < ARRAY_SIZE(patients); i++)
			can |= func == patients[i].func;
		if (!can)
			return false;
	}
	return true;
}

/*
 * Whether the thread may sleep in a work. Those that are to run after it would
 * wait for it, and whoever waits for them: the rest of a list that the kernel has
 * taken, and what has been queued since.
 */
static bool may_sleep(bool others_can_wait)
{
	if (!others_can_wait || fatal_signal_pending(current))
		return false;
	cairn_with_signals(current, forget_interruption, NULL);
	/* Who queues one from now on interrupts the sleep. */
	smp_mb();
	return cairn_can_wait(READ_ONCE(current->task_works));
}

/*
 * A mask that an interrupted call was given, epoll_pwait(2), is the thread's still
 * (kernel/signal.c, restore_saved_sigmask_unless()), and would be taken for its own
 * by the same call. The kernel, too, puts the own one back when it makes a call
 * again, by restore_saved_sigmask(), which takes a function that is not exported.
 */
static void take_back_mask(void)
{
	sigset_t own = current->saved_sigmask;

	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &own, NULL);
}

/* Makes the call that the registers show. Takes over the nudge. */
static void make_until(const struct repeatable *repeatable, s64 end,
		       struct cairn_nudge *nudge)
{
	struct deadline deadline = { .nudge = nudge };
	struct pt_regs *regs = current_pt_regs();
	long result;

	cairn_timer_on_stack(&deadline.sleeper.timer, deadline_passes,
			     CLOCK_MONOTONIC);
	deadline.sleeper.task = current;
	hrtimer_start(&deadline.sleeper.timer, ns_to_ktime(end), HRTIMER_MODE_ABS);
	take_back_mask();
	result = repeatable->make(regs);
	hrtimer_cancel(&deadline.sleeper.timer);
	destroy_hrtimer_on_stack(&deadline.sleeper.timer);
	if (result == -EINTR && !deadline.nudge)
		result = repeatable->timed_out;
	cairn_nudge_free(deadline.nudge);
	syscall_set_return_value(current, regs, result, 0);
}

void cairn_go_on(const struct cairn_end *end, bool others_can_wait)
{
	int nr = syscall_get_nr(current, current_pt_regs());
	const struct repeatable *repeatable = limited_of(nr);
	struct cairn_nudge *nudge;

	if (!repeatable)
		return;
	nudge = cairn_nudge_alloc();
	/* Otherwise the kernel makes it again, with its whole time. */
	if (!nudge)
		return;
	if (may_sleep(others_can_wait))
		make_until(repeatable, end->time, nudge);
	else
		cairn_nudge_free(nudge);
}

/**
 * struct again - a call that a thread makes before it goes back to its program
 * @work: of the thread
 * @end: when it is over, by CLOCK_MONOTONIC
 * @nudge: for its deadline
 */
struct again {
	struct callback_head work;
	s64 end;
	struct cairn_nudge *nudge;
};

static void again_free(struct again *again)
{
	cairn_nudge_free(again->nudge);
	kfree(again);
	module_put(THIS_MODULE);
}

/*
 * The call that the thread was interrupted in, and that the kernel is yet to make
 * again: works may run before (kernel/signal.c, get_signal()). -1 for none.
 */
static int interrupted_call(struct pt_regs *regs)
{
	if (syscall_get_error(current, regs) != -ERESTARTNOHAND)
		return -1;
	return syscall_get_nr(current, regs);
}

static void again_run(struct callback_head *work)
{
	struct again *again = container_of(work, struct again, work);
	struct pt_regs *regs = current_pt_regs();
	bool others_can_wait = cairn_can_wait(work->next);
	const struct repeatable *repeatable;
	int nr = interrupted_call(regs);
	bool ahead = nr < 0;

	if (!(current->flags & PF_EXITING)) {
		repeatable = limited_of(ahead ? cairn_call_ahead(regs) : nr);
		if (repeatable && may_sleep(others_can_wait)) {
			struct cairn_nudge *nudge = again->nudge;

			again->nudge = NULL;
			if (ahead)
				cairn_enter_call(regs);
			make_until(repeatable, again->end, nudge);
		}
	}
	again_free(again);
}

int cairn_call_again(struct task_struct *task, s64 end)
{
	struct again *again = kmalloc(sizeof(*again), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!again)
		return -ENOMEM;
	__module_get(THIS_MODULE);
	again->end = end;
	again->nudge = cairn_nudge_alloc();
	init_task_work(&again->work, again_run);
	if (again->nudge)
		err = task_work_add(task, &again->work, TWA_RESUME);
	if (err)
		again_free(again);
	return err;
}
