// SPDX-License-Identifier: GPL-2.0
/*
 * Memory policies, as do_get_mempolicy() in mm/mempolicy.c reports them.
 */
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/string.h>

#include "cairn.h"
#include "compat.h"
#include "lookup.h"
#include "policy.h"
#include "session.h"

#ifdef CONFIG_NUMA

/*
 * @policy may be NULL. A thread's own is protected by task_lock(), that of a VMA by
 * mmap_lock.
 */
static void describe(const struct mempolicy *policy, struct cairn_policy *wanted)
{
	nodemask_t nodes = NODE_MASK_NONE;
	int node;

	static_assert(MAX_NUMNODES <= CAIRN_NODE_WORDS * 64);

	wanted->mode = MPOL_DEFAULT;
	if (policy) {
		wanted->mode = policy->mode | (policy->flags & MPOL_MODE_FLAGS);
		if (policy->flags & CAIRN_MPOL_USER_NODES)
			nodes = policy->w.user_nodemask;
		else
			cairn_policy_nodes(policy, &nodes);
	}
	memset(wanted->nodes, 0, sizeof(wanted->nodes));
	for_each_node_mask(node, nodes)
		wanted->nodes[node / 64] |= 1ULL << (node % 64);
}

static void describe_own(struct task_struct *task, struct cairn_policy *wanted)
{
	task_lock(task);
	describe(task->mempolicy, wanted);
	task_unlock(task);
}

static int describe_at(struct mm_struct *mm, struct cairn_policy *wanted)
{
	struct vm_area_struct *vma;
	struct mempolicy *policy;
	int err = -ENOENT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = find_vma(mm, wanted->addr);
	if (vma && vma->vm_start <= wanted->addr) {
		policy = cairn_policy_at(vma, wanted->addr);
		describe(policy, wanted);
		/* get_policy() takes a reference to a shared policy. */
		if (policy && policy->flags & MPOL_F_SHARED)
			cairn___mpol_put(policy);
		err = 0;
	}
	mmap_read_unlock(mm);
	return err;
}

static int read_policy(struct task_struct *task, struct cairn_policy *wanted)
{
	struct mm_struct *mm;
	int err;

	if (!(wanted->flags & CAIRN_POLICY_ADDR)) {
		describe_own(task, wanted);
		return 0;
	}
	mm = get_task_mm(task);
	if (!mm)
		return -ESRCH;
	err = describe_at(mm, wanted);
	mmput(mm);
	return err;
}

#else

static int read_policy(struct task_struct *task, struct cairn_policy *wanted)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_NUMA */

int cairn_get_policy(struct file *file, union cairn_argument *arg)
{
	struct cairn_policy *wanted = &arg->policy;
	struct task_struct *task;
	int err;

	if (wanted->flags & ~CAIRN_POLICY_ADDR || (!wanted->flags && wanted->addr))
		return -EINVAL;
	task = cairn_inspect_begin(file, wanted->tid, false);
	if (IS_ERR(task))
		return PTR_ERR(task);
	err = read_policy(task, wanted);
	cairn_inspect_end(file);
	return err;
}
