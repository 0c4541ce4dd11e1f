// SPDX-License-Identifier: GPL-2.0
/*
 * CAP_CHECKPOINT_RESTORE (5.9, capabilities(7)) for the restart of an unprivileged
 * user's processes: with it the kernel permits to choose PIDs and to follow
 * /proc/PID/map_files.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/pid.h>
#include <linux/sched.h>

#include "cairn.h"
#include "capability.h"
#include "refusal.h"

int cairn_get_capability(struct file *file, union cairn_argument *arg)
{
	const struct cred *old = current_cred();
	struct cred *new;

	if (arg->capability.reserved)
		return -EINVAL;
	if (cap_raised(old->cap_effective, CAP_CHECKPOINT_RESTORE))
		return 0;
	/* The same limits as for execve() of a file with capabilities. */
	if (task_no_new_privs(current) ||
	    !cap_raised(old->cap_bset, CAP_CHECKPOINT_RESTORE))
		return cairn_refused("the right to restart for",
				     task_pid_nr(current));
	new = prepare_creds();
	if (!new)
		return -ENOMEM;
	cap_raise(new->cap_permitted, CAP_CHECKPOINT_RESTORE);
	cap_raise(new->cap_effective, CAP_CHECKPOINT_RESTORE);
	return commit_creds(new);
}
