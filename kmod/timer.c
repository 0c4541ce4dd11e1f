// SPDX-License-Identifier: GPL-2.0
/*
 * Remaining time of timers, as getitimer(2) and timer_gettime(2) report it.
 */
#include <linux/sched.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/posix-timers.h>
#include <linux/sched/signal.h>
#include <linux/time.h>

#include "cairn.h"
#include "compat.h"
#include "session.h"
#include "task.h"
#include "timer.h"

/* When a CPU timer expires, in nanoseconds of CPU time; 0 if it is not armed. */
static u64 cpu_timer_expires(const struct k_itimer *timer)
{
	return timer->it.cpu.node.expires;
}

/* Remaining CPU time of an interval timer. */
static u64 cputime_left(u64 expires, u64 passed)
{
	if (!expires)
		return 0;
	return expires < passed ? TICK_NSEC : expires - passed;
}

void cairn_interval_timers(const struct task_struct *leader,
			   struct cairn_process *process)
{
	const struct signal_struct *signal = leader->signal;
	const struct hrtimer *real = &signal->real_timer;
	const struct cpu_itimer *it = signal->it;
	u64 user, system;

	cairn_assert_siglock(leader);
	process->real_interval = ktime_to_ns(signal->it_real_incr);
	process->real_value = 0;
	if (hrtimer_active(real)) {
		s64 left = ktime_to_ns(__hrtimer_get_remaining(real, true));

		process->real_value = left <= 0 ? NSEC_PER_USEC : left;
	}

	/* The kernel keeps these up to date while a timer is armed. */
	user = atomic64_read(&signal->cputimer.cputime_atomic.utime);
	system = atomic64_read(&signal->cputimer.cputime_atomic.stime);
	process->virt_interval = it[CPUCLOCK_VIRT].incr;
	process->virt_value = cputime_left(it[CPUCLOCK_VIRT].expires, user);
	process->prof_interval = it[CPUCLOCK_PROF].incr;
	process->prof_value = cputime_left(it[CPUCLOCK_PROF].expires,
					   user + system);
}

/* Whether a clock measures CPU time. Clocks of devices are negative, too. */
static bool is_cpu_clock(clockid_t clock)
{
	return clock < 0 && (clock & CPUCLOCK_CLOCK_MASK) != CLOCKFD;
}

bool cairn_is_system_clock(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		return true;
	default:
		return false;
	}
}

static u64 sample(clockid_t clock, u64 user, u64 system, u64 runtime)
{
	switch (CPUCLOCK_WHICH(clock)) {
	case CPUCLOCK_PROF:
		return user + system;
	case CPUCLOCK_VIRT:
		return user;
	default:
		return runtime;
	}
}

static u64 sample_thread(clockid_t clock, const struct task_struct *task)
{
	return sample(clock, task->utime, task->stime, task->se.sum_exec_runtime);
}

/* CPU time of all threads, including those that have exited. */
static u64 sample_process(clockid_t clock, const struct task_struct *leader)
{
	const struct signal_struct *signal = leader->signal;
	const struct task_cputime_atomic *counted;
	const struct task_struct *thread;
	u64 passed;

	/* The kernel keeps these up to date while a timer is armed. */
	if (READ_ONCE(signal->posix_cputimers.timers_active)) {
		counted = &signal->cputimer.cputime_atomic;
		return sample(clock, atomic64_read(&counted->utime),
			      atomic64_read(&counted->stime),
			      atomic64_read(&counted->sum_exec_runtime));
	}
	passed = sample(clock, signal->utime, signal->stime,
			signal->sum_sched_runtime);
	for_each_thread(leader, thread)
		passed += sample_thread(clock, thread);
	return passed;
}

/*
 * Remaining CPU time of a timer. Only for clocks of the process itself and of its
 * threads, which are frozen.
 */
static int cpu_timer_left(const struct k_itimer *timer,
			  const struct task_struct *leader, s64 *left)
{
	clockid_t clock = timer->it_clock;
	bool thread = CPUCLOCK_PERTHREAD(clock);
	const struct task_struct *task;
	u64 passed;

	task = pid_task(timer->it.cpu.pid, thread ? PIDTYPE_PID : PIDTYPE_TGID);
	if (!task || task->signal != leader->signal)
		return -EOPNOTSUPP;
	passed = thread ? sample_thread(clock, task) : sample_process(clock, task);
	*left = cpu_timer_expires(timer) - passed;
	return 0;
}

static int read_setting(const struct k_itimer *timer,
			const struct task_struct *leader,
			struct cairn_timer *wanted)
{
	bool silent = timer->it_sigev_notify == SIGEV_NONE;
	s64 interval = ktime_to_ns(timer->it_interval);
	int err;
	s64 left;

	wanted->clock = timer->it_clock;
	wanted->interval = interval;
	wanted->value = 0;
	if (is_cpu_clock(timer->it_clock)) {
		if (!cpu_timer_expires(timer))
			return 0;
		err = cpu_timer_left(timer, leader, &left);
		if (err)
			return err;
	} else if (cairn_is_system_clock(timer->it_clock)) {
		if (!interval && !silent && !cairn_timer_is_armed(timer))
			return 0;
		left = ktime_to_ns(__hrtimer_get_remaining(&timer->it.real.timer,
							   false));
	} else {
		return -EOPNOTSUPP;
	}
	/* Not forwarded by the kernel yet: done when its signal is delivered, or never. */
	if (interval && left <= 0 && (silent || cairn_timer_requeue_pending(timer)))
		left += (div64_u64(-left, interval) + 1) * interval;
	if (left > 0)
		wanted->value = left;
	else if (!silent)
		wanted->value = 1;
	return 0;
}

static int read_timer(struct task_struct *leader, void *arg)
{
	struct cairn_timer *wanted = arg;
	const struct k_itimer *timer;

	cairn_assert_siglock(leader);
	cairn_for_each_timer(timer, leader->signal)
		if (timer->it_id == wanted->id)
			return read_setting(timer, leader, wanted);
	return -ENOENT;
}

int cairn_get_timer(struct file *file, union cairn_argument *arg)
{
	return cairn_inspect_siglock(file, arg->timer.pid, true, read_timer, &arg->timer);
}
