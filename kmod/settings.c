// SPDX-License-Identifier: GPL-2.0
/*
 * Settings of a thread and of its process, as prctl(2), membarrier(2) and
 * arch_prctl(2) report them to the thread itself, and some that no system call
 * reports.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/kernel.h>
#include <linux/key.h>
#include <linux/list.h>
#include <linux/lsm_hooks.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "cairn.h"
#include "compat.h"
#include "lookup.h"
#include "settings.h"

#ifdef CONFIG_SYSVIPC
/* struct sem_undo_list, which is private to ipc/sem.c; unchanged since 4.14. */
struct sem_undo_list_copy {
	refcount_t refcnt;
	spinlock_t lock;	/* protects list_proc */
	struct list_head list_proc;
};

static const struct list_head *sem_undo_of(const struct task_struct *task)
{
	const struct sem_undo_list_copy *list =
		(const void *)READ_ONCE(task->sysvsem.undo_list);

	return list ? &list->list_proc : NULL;
}
#else
static const struct list_head *sem_undo_of(const struct task_struct *task)
{
	return NULL;
}
#endif

/*
 * The list may be empty: copy_semundo() in ipc/sem.c allocates one for every
 * CLONE_SYSVSEM, which threads are created with. It is freed with the last of them;
 * if that is killed now, the answer does not matter.
 */
static bool has_sem_undo(const struct task_struct *task)
{
	const struct list_head *list = sem_undo_of(task);
	struct list_head head;

	return list && !copy_from_kernel_nofault(&head, list, sizeof(head)) &&
	       head.next != list;
}

#ifdef CONFIG_SECURITY_LANDLOCK
/* Both are of security/landlock/setup.c since 5.13. */
static const struct lsm_blob_sizes *landlock_sizes;
static const bool *landlock_is_on;

bool cairn_settings_init(void)
{
	landlock_sizes = (void *)cairn_lookup_address("landlock_blob_sizes");
	landlock_is_on = (void *)cairn_lookup_address("landlock_initialized");
	if (landlock_sizes && landlock_is_on)
		return true;
	pr_info("this kernel has no landlock_blob_sizes, which lead to domains\n");
	return false;
}

/* The first member of struct landlock_cred_security, security/landlock/cred.h. */
static const void *landlock_domain(const struct cred *cred)
{
	return *(void **)(cred->security + landlock_sizes->lbs_cred);
}

/* A domain that the caller shares is no matter: what it creates has it, too. */
static bool is_landlocked(struct task_struct *task)
{
	const void *domain;

	if (!*landlock_is_on)
		return false;
	rcu_read_lock();
	domain = landlock_domain(__task_cred(task));
	rcu_read_unlock();
	return domain && domain != landlock_domain(current_cred());
}
#else
bool cairn_settings_init(void)
{
	return true;
}

static bool is_landlocked(struct task_struct *task)
{
	return false;
}
#endif

#ifdef CONFIG_KEYS
/* As keyring_read() in security/keys/keyring.c without a buffer. */
static s32 size_of_list(const struct key *keyring)
{
	if (!keyring)
		return -ENOKEY;
	return keyring->keys.nr_leaves_on_tree * sizeof(key_serial_t);
}

static void keys_of(struct task_struct *task, struct cairn_thread *thread)
{
	const struct cred *cred;

	rcu_read_lock();
	cred = __task_cred(task);
	thread->thread_keys = size_of_list(cred->thread_keyring);
	thread->process_keys = size_of_list(cred->process_keyring);
	thread->requested_keys = cred->jit_keyring;
	rcu_read_unlock();
}
#else
static void keys_of(struct task_struct *task, struct cairn_thread *thread)
{
	thread->thread_keys = -EOPNOTSUPP;
	thread->process_keys = -EOPNOTSUPP;
	thread->requested_keys = -EOPNOTSUPP;
}
#endif

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
	thread->dispatch = cairn_has_user_dispatch(task);
	thread->tls = cairn_tls_segments(task);
	thread->io_ports = cairn_has_io_ports(task);
	thread->core_cookie = cairn_has_core_cookie(task);
	thread->sem_undo = has_sem_undo(task);
	thread->landlock = is_landlocked(task);
	thread->reserved = 0;
	keys_of(task, thread);
}

/* MEMBARRIER_STATE_*, or an error. */
static int membarrier_state_of(const struct mm_struct *mm)
{
#ifdef CONFIG_MEMBARRIER
	return atomic_read(&mm->membarrier_state);
#else
	return -EOPNOTSUPP;
#endif
}

/*
 * Registrations by the READY bits, which decide what membarrier(2) permits.
 * membarrier_get_registrations() in kernel/sched/membarrier.c (6.3) reports a
 * registration for SYNC_CORE or RSEQ as one for plain barriers, too, although these
 * fail with EPERM.
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
	int state = membarrier_state_of(mm);
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
	process->ldt = cairn_ldt_size(mm);
	process->xcomp_perm = 0;
	process->xcomp_error = cairn_xcomp_perm(leader, &process->xcomp_perm);
	process->untag_mask = 0;
	process->untag_error = cairn_untag_mask(mm, &process->untag_mask);
	process->reserved = 0;
}
