// SPDX-License-Identifier: GPL-2.0
/*
 * Restart blocks: interrupted system calls with a remaining timeout.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include <asm/syscall.h>

#include "cairn.h"
#include "compat.h"
#include "lookup.h"
#include "refusal.h"
#include "sleep.h"
#include "syscall_restart.h"
#include "task.h"
#include "timer.h"

/* Functions in restart blocks. They are static, and looked up by kallsyms. */
static struct restart {
	const char *name;
	u32 sleep;
	unsigned long fn;
} restarts[] __ro_after_init = {
	{ "hrtimer_nanosleep_restart", CAIRN_SLEEP_NANO },
	{ "do_restart_poll", CAIRN_SLEEP_POLL },
	{ "futex_wait_restart", CAIRN_SLEEP_FUTEX },
};

bool __init cairn_sleep_init(void)
{
	bool all = true;
	int i;

	for (i = 0; i < ARRAY_SIZE(restarts); i++) {
		restarts[i].fn = cairn_lookup_address(restarts[i].name);
		if (!restarts[i].fn) {
			pr_info("this kernel has no %s, which continues a sleep\n",
				restarts[i].name);
			all = false;
		}
	}
	return all;
}

static u32 sleep_of(const struct restart_block *block)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(restarts); i++)
		if ((unsigned long)block->fn == restarts[i].fn)
			return restarts[i].sleep;
	return CAIRN_SLEEP_OTHER;
}

static clockid_t futex_clock(const struct restart_block *block)
{
	return block->futex.flags & CAIRN_FUTEX_CLOCKRT ? CLOCK_REALTIME :
							  CLOCK_MONOTONIC;
}

static u32 futex_flags(bool shared, clockid_t clock)
{
	return CAIRN_FUTEX_SIZE_32 | CAIRN_FUTEX_HAS_TIMEOUT |
	       (shared ? CAIRN_FUTEX_SHARED : 0) |
	       (clock == CLOCK_REALTIME ? CAIRN_FUTEX_CLOCKRT : 0);
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

static void set_left(struct cairn_thread *thread, clockid_t clock, s64 expires)
{
	s64 left = expires - now_of(clock);

	thread->sleep_clock = clock;
	thread->sleep_left = left > 0 ? left : 0;
}

void cairn_get_sleep(struct task_struct *task, const struct cairn_deadline *deadline,
		     struct cairn_thread *thread)
{
	const struct restart_block *block = &task->restart_block;
	struct pt_regs *regs = task_pt_regs(task);
	u64 *args = thread->sleep_args;

	thread->sleep = CAIRN_SLEEP_NONE;
	thread->sleep_clock = 0;
	thread->sleep_left = 0;
	memset(thread->sleep_args, 0, sizeof(thread->sleep_args));
	if (deadline) {
		thread->sleep = CAIRN_SLEEP_CALL;
		set_left(thread, CLOCK_MONOTONIC, deadline->time);
		return;
	}
	if (syscall_get_nr(task, regs) < 0 ||
	    syscall_get_error(task, regs) != -ERESTART_RESTARTBLOCK)
		return;
	thread->sleep = sleep_of(block);
	switch (thread->sleep) {
	case CAIRN_SLEEP_NANO:
		set_left(thread, block->nanosleep.clockid, block->nanosleep.expires);
		if (block->nanosleep.type != TT_NONE)
			args[0] = (unsigned long)block->nanosleep.rmtp;
		break;
	case CAIRN_SLEEP_POLL:
		set_left(thread, CLOCK_MONOTONIC, cairn_poll_timeout(block));
		args[0] = (unsigned long)block->poll.ufds;
		args[1] = block->poll.nfds;
		break;
	case CAIRN_SLEEP_FUTEX:
		set_left(thread, futex_clock(block), block->futex.time);
		args[0] = (unsigned long)block->futex.uaddr;
		args[1] = block->futex.val;
		args[2] = !!(block->futex.flags & CAIRN_FUTEX_SHARED);
		args[3] = block->futex.bitset;
		break;
	}
}

/* The function by which restart_syscall(2) continues the sleep. */
static int set_function(struct restart_block *block, u32 sleep)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(restarts); i++) {
		if (restarts[i].sleep == sleep && restarts[i].fn) {
			block->fn = (long (*)(struct restart_block *))restarts[i].fn;
			return 0;
		}
	}
	return -EINVAL;
}

/* Fills in a restart block, or fails with -EINVAL. */
static int fill_block(struct restart_block *block, const struct cairn_continue *how)
{
	s64 expires;

	if (how->left > CAIRN_SLEEP_MAX)
		return -EINVAL;
	expires = now_of(how->clock) + how->left;
	switch (how->sleep) {
	case CAIRN_SLEEP_NANO:
		if (!cairn_is_system_clock(how->clock))
			return -EINVAL;
		block->nanosleep.clockid = how->clock;
		block->nanosleep.type = how->args[0] ? TT_NATIVE : TT_NONE;
		block->nanosleep.rmtp = u64_to_user_ptr(how->args[0]);
		block->nanosleep.expires = expires;
		break;
	case CAIRN_SLEEP_POLL:
		if (how->clock != CLOCK_MONOTONIC || how->args[1] > INT_MAX)
			return -EINVAL;
		block->poll.ufds = u64_to_user_ptr(how->args[0]);
		block->poll.nfds = how->args[1];
		cairn_set_poll_timeout(block, expires);
		break;
	case CAIRN_SLEEP_FUTEX:
		if (how->clock != CLOCK_REALTIME && how->clock != CLOCK_MONOTONIC)
			return -EINVAL;
		block->futex.uaddr = u64_to_user_ptr(how->args[0]);
		block->futex.val = how->args[1];
		block->futex.flags = futex_flags(how->args[2] & 1, how->clock);
		block->futex.bitset = how->args[3];
		block->futex.time = expires;
		break;
	default:
		return -EINVAL;
	}
	return set_function(block, how->sleep);
}

/* A call of which the registers describe everything but the deadline. */
static int check_call(const struct cairn_continue *how)
{
	if (how->clock != CLOCK_MONOTONIC || how->left > CAIRN_SLEEP_MAX ||
	    memchr_inv(how->args, 0, sizeof(how->args)))
		return -EINVAL;
	return 0;
}

int cairn_continue(struct file *file, union cairn_argument *arg)
{
	const struct cairn_continue *how = &arg->proceed;
	bool is_call = how->sleep == CAIRN_SLEEP_CALL;
	struct restart_block block = {};
	struct task_struct *task;
	int err;

	if (how->reserved)
		return -EINVAL;
	err = is_call ? check_call(how) : fill_block(&block, how);
	if (err)
		return err;
	task = cairn_find_task(how->tid);
	if (IS_ERR(task))
		return PTR_ERR(task);
	/*
	 * Only the tracer may do this, as it may change everything else of the
	 * thread, and only in a ptrace stop. The tracer is a thread, not a
	 * process, ptrace_check_attach() in kernel/ptrace.c. It is in this call,
	 * so that nothing but SIGKILL ends the stop.
	 */
	rcu_read_lock();
	if (!task->ptrace || rcu_access_pointer(task->parent) != current)
		err = cairn_refused("to continue", task_pid_nr(task));
	else if (!task_is_traced(task) || cairn_on_cpu(task))
		err = -EAGAIN;
	rcu_read_unlock();
	if (!err && is_call)
		err = cairn_queue_syscall(task, ktime_get_ns() + how->left);
	else if (!err)
		task->restart_block = block;
	put_task_struct(task);
	return err;
}
