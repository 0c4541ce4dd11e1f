// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a process that is held.
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "cairn.h"
#include "compat.h"
#include "session.h"

/* What is read in one go. */
#define PIECE		(16 * PAGE_SIZE)

int cairn_read(struct file *file, union cairn_argument *arg)
{
	struct cairn_read *wanted = &arg->read;
	struct task_struct *leader;
	u64 done = 0;
	int ret = 0;
	void *piece;

	piece = kvmalloc(PIECE, GFP_KERNEL_ACCOUNT);
	if (!piece)
		return -ENOMEM;
	leader = cairn_begin(file, wanted->pid, true);
	if (IS_ERR(leader)) {
		ret = PTR_ERR(leader);
		goto free;
	}
	while (done < wanted->len && !ret) {
		int len = min_t(u64, wanted->len - done, PIECE);
		int got = access_process_vm(leader, wanted->from + done, piece,
					    len, FOLL_FORCE);

		if (got <= 0)
			break;
		if (copy_to_user(u64_to_user_ptr(wanted->to + done), piece, got))
			ret = -EFAULT;
		else if (fatal_signal_pending(current))
			ret = -EINTR;
		done += got;
		if (got < len)
			break;
		cond_resched();
	}
	cairn_end(file);
	wanted->len = done;
free:
	kvfree(piece);
	return ret;
}
