// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that were interrupted: those that the kernel continues with the time
 * that is left, and those that end with EINTR after a signal that was none.
 */
#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/kallsyms.h>
#include <linux/ktime.h>
#include <linux/ptrace.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include <asm/syscall.h>

#include "cairn.h"
#include "compat.h"
#include "session.h"

/*
 * Calls that do nothing when they end with EINTR, so that they can be made
 * again: signal(7), "not restarted".
 */
static bool is_repeatable(int nr)
{
	switch (nr) {
#ifdef __NR_epoll_wait
	case __NR_epoll_wait:
#endif
	case __NR_epoll_pwait:
#ifdef __NR_epoll_pwait2	/* 5.11 */
	case __NR_epoll_pwait2:
#endif
#ifdef __NR_semop
	case __NR_semop:
#endif
	case __NR_semtimedop:
	case __NR_rt_sigtimedwait:
	case __NR_io_getevents:
		return true;
	default:
		return false;
	}
}

void cairn_repeat_after_eintr(void)
{
	struct pt_regs *regs = current_pt_regs();

	if (in_compat_syscall() || syscall_get_error(current, regs) != -EINTR)
		return;
	if (is_repeatable(syscall_get_nr(current, regs)))
		syscall_set_return_value(current, regs, -ERESTARTNOHAND, 0);
}

static s64 now_of(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
		return ktime_get_real_ns();
	case CLOCK_BOOTTIME:
		return ktime_get_boottime_ns();
	case CLOCK_TAI:
		return ktime_to_ns(ktime_get_clocktai());
	default:
		return ktime_get_ns();
	}
}

static void ends(struct cairn_thread *thread, clockid_t clock, s64 end)
{
	s64 left = end - now_of(clock);

	thread->sleep_clock = clock;
	thread->sleep_left = left > 0 ? left : 0;
}

void cairn_sleep(struct task_struct *task, struct cairn_thread *thread)
{
	const struct restart_block *block = &task->restart_block;
	char fn[KSYM_SYMBOL_LEN];

	thread->sleep = CAIRN_SLEEP_NONE;
	thread->sleep_clock = 0;
	thread->sleep_left = 0;
	if (syscall_get_nr(task, task_pt_regs(task)) < 0 ||
	    syscall_get_error(task, task_pt_regs(task)) != -ERESTART_RESTARTBLOCK)
		return;
	/* The functions are static; kallsyms knows them all the same. */
	sprint_symbol_no_offset(fn, (unsigned long)block->fn);
	if (!strcmp(fn, "do_restart_poll")) {
		thread->sleep = CAIRN_SLEEP_POLL;
		ends(thread, CLOCK_MONOTONIC, cairn_poll_end(block));
	} else if (!strcmp(fn, "futex_wait_restart")) {
		thread->sleep = CAIRN_SLEEP_FUTEX;
		ends(thread, cairn_futex_clock(block), block->futex.time);
	} else if (!strcmp(fn, "hrtimer_nanosleep_restart")) {
		thread->sleep = CAIRN_SLEEP_NANO;
		ends(thread, block->nanosleep.clockid, block->nanosleep.expires);
	} else {
		thread->sleep = CAIRN_SLEEP_OTHER;
	}
}
