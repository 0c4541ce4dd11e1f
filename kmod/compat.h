/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernel versions, and nothing else: no file but this one and
 * arch.h looks at LINUX_VERSION_CODE. Each entry names the version that made the
 * difference, and the file where it shows.
 */
#ifndef _CAIRN_COMPAT_H
#define _CAIRN_COMPAT_H

#include <linux/errno.h>
#include <linux/freezer.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/posix-timers.h>
#include <linux/prctl.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sched/signal.h>
#include <linux/thread_info.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#include <linux/sched/exec_state.h>
#endif

#include "uapi/cairn.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "cairn needs Linux 5.10 or newer"
#endif

/*
 * Kernel threads that are threads of a user process, io_uring's among them:
 * PF_IO_WORKER in 5.12, renamed in 6.4, include/linux/sched.h.
 */
#if defined(PF_USER_WORKER)
#define CAIRN_PF_WORKER		PF_USER_WORKER
#elif defined(PF_IO_WORKER)
#define CAIRN_PF_WORKER		PF_IO_WORKER
#else
#define CAIRN_PF_WORKER		0
#endif

/*
 * rseq(2): the length is recorded since 6.3; a struct of its own since 6.19,
 * include/linux/rseq_types.h.
 */
static inline void cairn_rseq(const struct task_struct *task,
			      struct cairn_thread *thread)
{
	thread->rseq = 0;
	thread->rseq_len = 0;
	thread->rseq_signature = 0;
#ifdef CONFIG_RSEQ
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
	thread->rseq = (unsigned long)task->rseq.usrptr;
	thread->rseq_len = task->rseq.len;
	thread->rseq_signature = task->rseq.sig;
#else
	thread->rseq = (unsigned long)task->rseq;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	thread->rseq_len = task->rseq_len;
#else
	thread->rseq_len = task->rseq ? 32 : 0;
#endif
	thread->rseq_signature = task->rseq_sig;
#endif
#endif
}

/* 5.15, include/uapi/linux/prctl.h. */
#ifndef PR_SPEC_L1D_FLUSH
#define PR_SPEC_L1D_FLUSH	2
#endif

/*
 * What PR_RSEQ_SLICE_EXTENSION returns for PR_RSEQ_SLICE_EXTENSION_GET: 7.0,
 * kernel/rseq.c.
 */
static inline s32 cairn_rseq_slice(const struct task_struct *task)
{
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	return task->rseq.slice.state.enabled ? PR_RSEQ_SLICE_EXT_ENABLE : 0;
#elif defined(PR_RSEQ_SLICE_EXTENSION)
	return -ENOTSUPP;
#else
	return -EINVAL;
#endif
}

/*
 * PR_SET_SYSCALL_USER_DISPATCH: 5.11, include/linux/thread_info.h; only on
 * architectures with the generic entry code.
 */
static inline bool cairn_has_user_dispatch(struct task_struct *task)
{
#ifdef SYSCALL_WORK_SYSCALL_USER_DISPATCH
	return test_task_syscall_work(task, SYSCALL_USER_DISPATCH);
#else
	return false;
#endif
}

/* PR_SCHED_CORE: 5.14, kernel/sched/core_sched.c. */
static inline bool cairn_has_core_cookie(const struct task_struct *task)
{
#ifdef CONFIG_SCHED_CORE
	return READ_ONCE(task->core_cookie);
#else
	return false;
#endif
}

#ifdef CONFIG_NUMA
/* get_policy() has a third parameter since 6.7, include/linux/mm.h; unused here. */
static inline struct mempolicy *cairn_policy_at(struct vm_area_struct *vma,
						unsigned long addr)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	pgoff_t index;

	if (vma->vm_ops && vma->vm_ops->get_policy)
		return vma->vm_ops->get_policy(vma, addr, &index);
#else
	if (vma->vm_ops && vma->vm_ops->get_policy)
		return vma->vm_ops->get_policy(vma, addr);
#endif
	return vma->vm_policy;
}

/*
 * Flags of policies that keep the nodemask as the user gave it:
 * mpol_store_user_nodemask() in mm/mempolicy.c. Named in 7.2, when they stopped
 * to include MPOL_F_NUMA_BALANCING, which came in 5.12.
 */
#ifdef MPOL_USER_NODEMASK_FLAGS
#define CAIRN_MPOL_USER_NODES	MPOL_USER_NODEMASK_FLAGS
#else
#define CAIRN_MPOL_USER_NODES	MPOL_MODE_FLAGS
#endif

/*
 * get_policy_nodemask() in mm/mempolicy.c. A policy's nodes are one nodemask for
 * every mode since 5.14.
 */
static inline void cairn_policy_nodes(const struct mempolicy *policy,
				      nodemask_t *nodes)
{
	nodes_clear(*nodes);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	if (policy->mode != MPOL_LOCAL)
		*nodes = policy->nodes;
#else
	if (policy->mode != MPOL_PREFERRED)
		*nodes = policy->v.nodes;
	else if (!(policy->flags & MPOL_F_LOCAL))
		node_set(policy->v.preferred_node, *nodes);
#endif
}
#endif /* CONFIG_NUMA */

/* mm->flags became a bitmap with accessors in 6.18, include/linux/mm_types.h. */
static inline bool cairn_mm_flag(const struct mm_struct *mm, int flag)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return mm_flags_test(flag, mm);
#else
	return test_bit(flag, &mm->flags);
#endif
}

/* What PR_GET_MDWE returns: 6.3, the second flag 6.6, kernel/sys.c. */
static inline s32 cairn_mdwe(const struct mm_struct *mm)
{
#ifdef MMF_HAS_MDWE
	s32 mdwe = 0;

	if (cairn_mm_flag(mm, MMF_HAS_MDWE))
		mdwe |= PR_MDWE_REFUSE_EXEC_GAIN;
#ifdef MMF_HAS_MDWE_NO_INHERIT
	if (cairn_mm_flag(mm, MMF_HAS_MDWE_NO_INHERIT))
		mdwe |= PR_MDWE_NO_INHERIT;
#endif
	return mdwe;
#else
	return -EINVAL;
#endif
}

/* What PR_GET_MEMORY_MERGE returns: 6.4, kernel/sys.c. */
static inline s32 cairn_memory_merge(const struct mm_struct *mm)
{
#if defined(CONFIG_KSM) && defined(MMF_VM_MERGE_ANY)
	return cairn_mm_flag(mm, MMF_VM_MERGE_ANY);
#else
	return -EINVAL;
#endif
}

/* What PR_GET_THP_DISABLE returns: two flags since 6.18, kernel/sys.c. */
static inline u32 cairn_thp_disable(struct mm_struct *mm)
{
#ifdef PR_THP_DISABLE_EXCEPT_ADVISED
	if (cairn_mm_flag(mm, MMF_DISABLE_THP_COMPLETELY))
		return 1;
	if (cairn_mm_flag(mm, MMF_DISABLE_THP_EXCEPT_ADVISED))
		return 1 | PR_THP_DISABLE_EXCEPT_ADVISED;
	return 0;
#else
	return cairn_mm_flag(mm, MMF_DISABLE_THP);
#endif
}

/*
 * What PR_GET_DUMPABLE returns: moved from the mm to the task in 7.2,
 * include/linux/sched/exec_state.h.
 */
static inline u32 cairn_dumpable(const struct task_struct *task,
				 struct mm_struct *mm)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
	u32 dumpable;

	rcu_read_lock();
	dumpable = READ_ONCE(rcu_dereference(task->exec_state)->dumpable);
	rcu_read_unlock();
	return dumpable;
#else
	return get_dumpable(mm);
#endif
}

/* signal->posix_timers is an hlist since 6.12, kernel/time/posix-timers.c. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define cairn_for_each_timer(timer, signal)	\
	hlist_for_each_entry(timer, &(signal)->posix_timers, list)
#else
#define cairn_for_each_timer(timer, signal)	\
	list_for_each_entry(timer, &(signal)->posix_timers, list)
#endif

/*
 * Whether a POSIX timer is armed, and whether it has expired and is rearmed only
 * when its signal is delivered: one state (POSIX_TIMER_REQUEUE_PENDING is 2)
 * since 6.13, kernel/time/posix-timers.h.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
static inline bool cairn_timer_is_armed(const struct k_itimer *timer)
{
	return timer->it_status != 0;
}

static inline bool cairn_timer_requeue_pending(const struct k_itimer *timer)
{
	return timer->it_status == 2;
}
#else
static inline bool cairn_timer_is_armed(const struct k_itimer *timer)
{
	return timer->it_active;
}

static inline bool cairn_timer_requeue_pending(const struct k_itimer *timer)
{
	return timer->it_requeue_pending & 1;
}
#endif

/*
 * Clears what interrupts the task's sleeps when task works are queued: a thread
 * flag since 5.11 and 5.10.162, a jobctl bit before, include/linux/sched/signal.h.
 *
 * Context: Under siglock.
 */
static inline void cairn_clear_notify_signal(struct task_struct *task)
{
#ifdef JOBCTL_TASK_WORK
	task->jobctl &= ~JOBCTL_TASK_WORK;
#else
	clear_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
#endif
}

/*
 * wait_event_killable() that the freezer of suspend and control groups does not
 * wait for: a task state since 6.1, a task flag before, kernel/freezer.c.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)
#define cairn_wait_killable(queue, condition)				\
	wait_event_state(queue, condition, (TASK_KILLABLE | TASK_FREEZABLE))
#else
#define cairn_wait_killable(queue, condition)				\
do {									\
	freezer_do_not_count();						\
	wait_event_killable(queue, condition);				\
	freezer_count();						\
} while (0)
#endif

/* task->state was renamed in 5.14, include/linux/sched.h. */
static inline bool cairn_is_interruptible(const struct task_struct *task)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	return READ_ONCE(task->__state) & TASK_INTERRUPTIBLE;
#else
	return READ_ONCE(task->state) & TASK_INTERRUPTIBLE;
#endif
}

typedef enum hrtimer_restart cairn_timer_fn(struct hrtimer *timer);

/* The function is __private since 6.16, include/linux/hrtimer_types.h. */
static inline cairn_timer_fn *cairn_timer_function(const struct hrtimer *timer)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	return ACCESS_PRIVATE(timer, function);
#else
	return timer->function;
#endif
}

/* hrtimer_setup_on_stack() takes the function since 6.13, kernel/time/hrtimer.c. */
static inline void cairn_timer_on_stack(struct hrtimer *timer,
					cairn_timer_fn *function, clockid_t clock)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup_on_stack(timer, function, clock, HRTIMER_MODE_ABS);
#else
	hrtimer_init_on_stack(timer, clock, HRTIMER_MODE_ABS);
	timer->function = function;
#endif
}

/*
 * The absolute timeout of poll(2) on CLOCK_MONOTONIC, in nanoseconds: a
 * timespec64 since 7.0, include/linux/restart_block.h.
 */
static inline s64 cairn_poll_timeout(const struct restart_block *block)
{
	if (!block->poll.has_timeout)
		return S64_MAX;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	return timespec64_to_ns(&block->poll.end_time);
#else
	return (s64)block->poll.tv_sec * NSEC_PER_SEC + block->poll.tv_nsec;
#endif
}

static inline void cairn_set_poll_timeout(struct restart_block *block, s64 time)
{
	block->poll.has_timeout = 1;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	block->poll.end_time = ns_to_timespec64(time);
#else
	block->poll.tv_sec = div_u64(time, NSEC_PER_SEC);
	block->poll.tv_nsec = time - (s64)block->poll.tv_sec * NSEC_PER_SEC;
#endif
}

/*
 * get_user_pages_remote() lost the sixth of its seven parameters in 6.5,
 * mm/gup.c. Returns the number of pages or an error.
 */
static inline long cairn_get_pages(struct mm_struct *mm, unsigned long from,
				   unsigned long count, struct page **pages)
{
	long taken;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	taken = get_user_pages_remote(mm, from, count, FOLL_FORCE, pages, NULL);
#else
	taken = get_user_pages_remote(mm, from, count, FOLL_FORCE, pages, NULL,
				      NULL);
#endif
	mmap_read_unlock(mm);
	return taken;
}

/* vfs_iter_write() calls file_start_write() itself since 6.8, fs/read_write.c. */
static inline ssize_t cairn_iter_write(struct file *file, struct iov_iter *iter,
				       loff_t *at)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	return vfs_iter_write(file, iter, at, 0);
#else
	ssize_t done;

	file_start_write(file);
	done = vfs_iter_write(file, iter, at, 0);
	file_end_write(file);
	return done;
#endif
}

/*
 * FLAGS_* of kernel/futex/futex.h (kernel/futex.c before 5.16), renumbered in 6.7
 * to make room for the size of the futex.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define CAIRN_FUTEX_SIZE_32	0x02
#define CAIRN_FUTEX_SHARED	0x10
#define CAIRN_FUTEX_CLOCKRT	0x20
#define CAIRN_FUTEX_HAS_TIMEOUT	0x40
#else
#define CAIRN_FUTEX_SIZE_32	0
#define CAIRN_FUTEX_SHARED	0x01
#define CAIRN_FUTEX_CLOCKRT	0x02
#define CAIRN_FUTEX_HAS_TIMEOUT	0x04
#endif

#endif /* _CAIRN_COMPAT_H */
