/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interval timers and POSIX timers.
 */
#ifndef _CAIRN_TIMER_H
#define _CAIRN_TIMER_H

#include <linux/fs.h>
#include <linux/types.h>

union cairn_argument;
struct cairn_process;
struct task_struct;

int cairn_get_timer(struct file *file, union cairn_argument *arg);

/* Fills in the interval timers. Context: Under siglock. */
void cairn_interval_timers(const struct task_struct *leader,
			   struct cairn_process *process);

/* CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME or CLOCK_TAI. */
bool cairn_is_system_clock(clockid_t clock);

#endif /* _CAIRN_TIMER_H */
