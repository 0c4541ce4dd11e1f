// SPDX-License-Identifier: GPL-2.0
/*
 * What a thread and its process have set for themselves, as prctl(2),
 * membarrier(2) and arch_prctl(2) tell those who ask for themselves.
 */
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>

#include "cairn.h"
#include "compat.h"
#include "lookup.h"

/*
 * A list that is there may be empty: threads share one from their beginning,
 * whether there is something to undo or not (ipc/sem.c, copy_semundo()). It goes
 * with the last of them, which may be killed; what is read then is of nobody.
 */
static bool has_sem_undo(const struct task_struct *task)
{
	const struct list_head *list = cairn_sem_undo(task);
	struct list_head head;

	return list && !copy_from_kernel_nofault(&head, list, sizeof(head)) &&
	       head.next != list;
}

void cairn_thread_settings(struct task_struct *task, struct cairn_thread *thread)
{
	thread->spec_store_bypass =
		cairn_arch_prctl_spec_ctrl_get(task, PR_SPEC_STORE_BYPASS);
	thread->spec_indirect_branch =
		cairn_arch_prctl_spec_ctrl_get(task, PR_SPEC_INDIRECT_BRANCH);
	thread->spec_l1d_flush =
		cairn_arch_prctl_spec_ctrl_get(task, PR_SPEC_L1D_FLUSH);
	thread->rseq_slice = cairn_rseq_slice(task);
	thread->cpuid = cairn_cpuid(task);
	thread->dispatch = cairn_dispatches(task);
	thread->tls = cairn_tls(task);
	thread->io_ports = cairn_has_io_ports(task);
	thread->core_cookie = cairn_has_core_cookie(task);
	thread->sem_undo = has_sem_undo(task);
}

/*
 * What a process may do, by the READY bits: membarrier_get_registrations() in
 * kernel/sched/membarrier.c, since 6.3, also counts who is registered for a
 * special barrier as registered for plain ones, which fail with EPERM for it.
 */
static s32 registrations_of(const struct mm_struct *mm)
{
	static const struct {
		int state;
		int command;
	} known[] = {
		{ MEMBARRIER_STATE_GLOBAL_EXPEDITED_READY,
		  MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED },
		{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_READY,
		  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED },
		{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE_READY,
		  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE },
		{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ_READY,
		  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ },
	};
	int state = cairn_membarrier_state(mm);
	s32 registered = 0;
	int i;

	if (state < 0)
		return state;
	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (state & known[i].state)
			registered |= known[i].command;
	return registered;
}

void cairn_process_settings(struct task_struct *leader, struct mm_struct *mm,
			    struct cairn_process *process)
{
	process->membarrier = registrations_of(mm);
	process->mdwe = cairn_mdwe(mm);
	process->memory_merge = cairn_memory_merge(mm);
	process->ldt = cairn_ldt(mm);
	process->xcomp_perm = 0;
	process->xcomp_error = cairn_xcomp_perm(leader, &process->xcomp_perm);
	process->untag_mask = 0;
	process->untag_error = cairn_untag_mask(mm, &process->untag_mask);
	process->reserved = 0;
}
