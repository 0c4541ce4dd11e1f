// SPDX-License-Identifier: GPL-2.0
/*
 * Logging of denied requests, for the administrator.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/pid.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

#include "refusal.h"

int cairn_refused(const char *what, pid_t nr)
{
	/*
	 * An unprivileged user must not be able to fill the log. The number of
	 * messages that were suppressed is logged once a minute at most.
	 */
	static DEFINE_RATELIMIT_STATE(limit, 60 * HZ, 5);

	/* Contains no string that the user controls. */
	if (__ratelimit(&limit))
		pr_notice("refused: %s %d, asked by PID %d of user %u\n", what,
			  nr, task_pid_nr(current),
			  from_kuid(&init_user_ns, current_uid()));
	return -EPERM;
}
