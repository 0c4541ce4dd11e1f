// SPDX-License-Identifier: GPL-2.0
/*
 * What is said in the log: who was refused what, for those who look after the
 * machine.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

#include "cairn.h"

int cairn_refused(const char *what, pid_t nr)
{
	/*
	 * How often something is asked for is up to an ordinary user; how much
	 * is logged is not. What was left out is counted, and said once a
	 * minute at most.
	 */
	static DEFINE_RATELIMIT_STATE(seldom, 60 * HZ, 5);

	/* Nothing of it is a text of the user's. */
	if (__ratelimit(&seldom))
		pr_notice("refused: %s %d, asked by PID %d of user %u\n", what,
			  nr, task_pid_nr(current),
			  from_kuid(&init_user_ns, current_uid()));
	return -EPERM;
}
