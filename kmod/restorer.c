// SPDX-License-Identifier: GPL-2.0
/*
 * What an ordinary user's restart needs of the kernel: the right to choose
 * PIDs, and to see what is behind a mapping.
 *
 * The kernel has a capability of its own for exactly that, and judges by it
 * everywhere itself: capabilities(7), CAP_CHECKPOINT_RESTORE, since 5.9.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/sched.h>

#include "cairn.h"

int cairn_restorer(struct file *file, union cairn_argument *arg)
{
	const struct cred *old = current_cred();
	struct cred *new;

	if (arg->restorer.reserved)
		return -EINVAL;
	if (cap_raised(old->cap_effective, CAP_CHECKPOINT_RESTORE))
		return 0;
	/* Whoever gave up to get more, or was made to, gets no more. */
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
