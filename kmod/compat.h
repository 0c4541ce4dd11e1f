/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All differences between kernel versions and architectures, and nothing else:
 * no other file looks at LINUX_VERSION_CODE or CONFIG_X86_64. Each entry names
 * the version, and the file or commit that made the difference.
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
#include <linux/refcount.h>
#include <linux/restart_block.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/thread_info.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#include <linux/sched/exec_state.h>
#endif

#ifdef CONFIG_X86_64
#include <linux/pkeys.h>

#include <asm/fpu/xstate.h>
#include <asm/mmu_context.h>
#endif

#include "uapi/cairn.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "cairn needs Linux 5.10 or newer"
#endif

/* Selected by what unpacks a compressed initramfs (RD_ZSTD), among others. */
#if !IS_ENABLED(CONFIG_XXHASH)
#error "cairn needs a kernel with CONFIG_XXHASH"
#endif

/* What CAIRN_FEATURE_HOLD stands for has been tried on these. */
#define CAIRN_HOLD_HERE		IS_ENABLED(CONFIG_X86_64)

/* Threads of the kernel's in a user's process: 5.12, by another name 6.4. */
#if defined(PF_USER_WORKER)
#define CAIRN_PF_WORKER		PF_USER_WORKER
#elif defined(PF_IO_WORKER)
#define CAIRN_PF_WORKER		PF_IO_WORKER
#else
#define CAIRN_PF_WORKER		0
#endif

static inline bool cairn_on_cpu(const struct task_struct *task)
{
#ifdef CONFIG_SMP
	/* Pairs with finish_task() in kernel/sched/core.c. */
	return smp_load_acquire(&task->on_cpu);
#else
	return false;
#endif
}

static inline u64 cairn_sigset(const sigset_t *set)
{
	static_assert(_NSIG_WORDS == 1);
	return set->sig[0];
}

static inline u64 cairn_sa_restorer(const struct sigaction *sa)
{
#ifdef __ARCH_HAS_SA_RESTORER
	return (unsigned long)sa->sa_restorer;
#else
	return 0;
#endif
}

/* A structure of its own since 6.19; the length is recorded since 6.3. */
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

static inline u32 cairn_tsc(struct task_struct *task)
{
#ifdef CONFIG_X86_64
	return test_tsk_thread_flag(task, TIF_NOTSC) ? PR_TSC_SIGSEGV :
						       PR_TSC_ENABLE;
#else
	return 0;
#endif
}

/* A kind of speculation that a task can control since 5.15. */
#ifndef PR_SPEC_L1D_FLUSH
#define PR_SPEC_L1D_FLUSH	2
#endif

/*
 * What PR_RSEQ_SLICE_EXTENSION returns for PR_RSEQ_SLICE_EXTENSION_GET: since
 * 7.0, kernel/rseq.c.
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

/* Since 5.11; on arm64, later, too. */
static inline bool cairn_dispatches(struct task_struct *task)
{
#ifdef SYSCALL_WORK_SYSCALL_USER_DISPATCH
	return test_task_syscall_work(task, SYSCALL_USER_DISPATCH);
#else
	return false;
#endif
}

/* Since 5.14, kernel/sched/core_sched.c. */
static inline bool cairn_has_core_cookie(const struct task_struct *task)
{
#ifdef CONFIG_SCHED_CORE
	return READ_ONCE(task->core_cookie);
#else
	return false;
#endif
}

/* What ARCH_GET_CPUID returns, arch/x86/kernel/process.c. */
static inline s32 cairn_cpuid(struct task_struct *task)
{
#ifdef CONFIG_X86_64
	return !test_tsk_thread_flag(task, TIF_NOCPUID);
#else
	return -EOPNOTSUPP;
#endif
}

/* Segments of set_thread_area(2), arch/x86/kernel/tls.c. */
static inline u32 cairn_tls(const struct task_struct *task)
{
	u32 count = 0;
#ifdef CONFIG_X86_64
	const struct desc_struct *tls = task->thread.tls_array;
	int i;

	for (i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++)
		count += !!memchr_inv(&tls[i], 0, sizeof(tls[i]));
#endif
	return count;
}

static inline bool cairn_has_io_ports(const struct task_struct *task)
{
#ifdef CONFIG_X86_IOPL_IOPERM
	return task->thread.io_bitmap || task->thread.iopl_emul;
#else
	return false;
#endif
}

/* Bytes of the table of modify_ldt(2), arch/x86/kernel/ldt.c. */
static inline s32 cairn_ldt(struct mm_struct *mm)
{
#if defined(CONFIG_X86_64) && defined(CONFIG_MODIFY_LDT_SYSCALL)
	s32 bytes = 0;

	down_read(&mm->context.ldt_usr_sem);
	if (mm->context.ldt)
		bytes = mm->context.ldt->nr_entries * LDT_ENTRY_SIZE;
	up_read(&mm->context.ldt_usr_sem);
	return bytes;
#else
	return -EOPNOTSUPP;
#endif
}

/*
 * ARCH_GET_XCOMP_PERM: since 5.16, of the first thread, which has its registers
 * behind it since 6.16, arch/x86/kernel/fpu/xstate.c.
 */
static inline s32 cairn_xcomp_perm(const struct task_struct *leader, u64 *perm)
{
#ifndef CONFIG_X86_64
	return -EOPNOTSUPP;
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	const struct fpu *fpu = (const void *)(leader + 1);
#else
	const struct fpu *fpu = &leader->thread.fpu;
#endif
	*perm = READ_ONCE(fpu->perm.__state_perm) & XFEATURE_MASK_USER_SUPPORTED;
	return 0;
#else
	return -EINVAL;
#endif
}

/* ARCH_GET_UNTAG_MASK: since 6.4, arch/x86/kernel/process_64.c. */
static inline s32 cairn_untag_mask(const struct mm_struct *mm, u64 *mask)
{
#ifndef CONFIG_X86_64
	return -EOPNOTSUPP;
#elif defined(CONFIG_ADDRESS_MASKING)
	*mask = mm->context.untag_mask;
	return 0;
#else
	return -EINVAL;
#endif
}

/* What a task has to undo in semaphores: as ipc/sem.c has it since 4.14. */
struct cairn_sem_undo_list {
	refcount_t refcnt;
	spinlock_t lock;	/* covers list_proc */
	struct list_head list_proc;
};

/* Where the list of it begins; NULL for none. */
static inline const struct list_head *cairn_sem_undo(const struct task_struct *task)
{
#ifdef CONFIG_SYSVIPC
	const struct cairn_sem_undo_list *list =
		(const void *)READ_ONCE(task->sysvsem.undo_list);

	return list ? &list->list_proc : NULL;
#else
	return NULL;
#endif
}

#ifdef CONFIG_NUMA
#define CAIRN_POLICY_SYMBOLS(X)						\
	X(void, __mpol_put, (struct mempolicy *pol), (pol), (void)0,	\
	  CAIRN_FEATURE_SETTINGS, "gives back a policy of shared memory")

/* With a third parameter, which is of no interest, since 6.7, include/linux/mm.h. */
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
 * Policies with these keep the nodes that they were given: named in 7.2, and
 * without the flag that came in 5.12 and was among them.
 */
#ifdef MPOL_USER_NODEMASK_FLAGS
#define CAIRN_MPOL_KEEPS	MPOL_USER_NODEMASK_FLAGS
#else
#define CAIRN_MPOL_KEEPS	MPOL_MODE_FLAGS
#endif

/* The nodes that a policy comes to: get_policy_nodemask() in mm/mempolicy.c. */
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
#else
#define CAIRN_POLICY_SYMBOLS(X)
#endif /* CONFIG_NUMA */

static inline u32 cairn_pkeys(struct mm_struct *mm)
{
	u32 keys = 0;
#ifdef CONFIG_X86_64
	int key;

	for (key = 1; key < arch_max_pkey(); key++)
		if (mm_pkey_is_allocated(mm, key))
			keys |= 1U << key;
#endif
	return keys;
}

static inline u32 cairn_lock_future(const struct mm_struct *mm)
{
	if (!(mm->def_flags & VM_LOCKED))
		return 0;
	return mm->def_flags & VM_LOCKONFAULT ? 2 : 1;
}

/* Flags of an address space: in a bitmap, with functions of its own, since 6.18. */
static inline bool cairn_mm_flag(const struct mm_struct *mm, int flag)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return mm_flags_test(flag, mm);
#else
	return test_bit(flag, &mm->flags);
#endif
}

/* What PR_GET_MDWE returns: since 6.3, kernel/sys.c. */
static inline s32 cairn_mdwe(const struct mm_struct *mm)
{
#ifdef MMF_HAS_MDWE
	s32 mdwe = 0;

	if (cairn_mm_flag(mm, MMF_HAS_MDWE))
		mdwe |= PR_MDWE_REFUSE_EXEC_GAIN;
#ifdef MMF_HAS_MDWE_NO_INHERIT	/* 6.6 */
	if (cairn_mm_flag(mm, MMF_HAS_MDWE_NO_INHERIT))
		mdwe |= PR_MDWE_NO_INHERIT;
#endif
	return mdwe;
#else
	return -EINVAL;
#endif
}

/* What PR_GET_MEMORY_MERGE returns: since 6.4, kernel/sys.c. */
static inline s32 cairn_memory_merge(const struct mm_struct *mm)
{
#if defined(CONFIG_KSM) && defined(MMF_VM_MERGE_ANY)
	return cairn_mm_flag(mm, MMF_VM_MERGE_ANY);
#else
	return -EINVAL;
#endif
}

/* MEMBARRIER_STATE_*, or an error. */
static inline int cairn_membarrier_state(const struct mm_struct *mm)
{
#ifdef CONFIG_MEMBARRIER
	return atomic_read(&mm->membarrier_state);
#else
	return -EOPNOTSUPP;
#endif
}

/* Two flags since 6.18. */
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

/* The task's and not its memory's since 7.2. */
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

/* A list until 6.11, kernel/time/posix-timers.c. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define cairn_for_each_timer(timer, signal)	\
	hlist_for_each_entry(timer, &(signal)->posix_timers, list)
#else
#define cairn_for_each_timer(timer, signal)	\
	list_for_each_entry(timer, &(signal)->posix_timers, list)
#endif

/*
 * Whether a timer counts, and whether it has fired and is put off until its
 * signal is taken: one state since 6.13, kernel/time/posix-timers.h.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
static inline bool cairn_timer_is_armed(const struct k_itimer *timer)
{
	return timer->it_status != 0;
}

static inline bool cairn_timer_waits(const struct k_itimer *timer)
{
	return timer->it_status == 2;
}
#else
static inline bool cairn_timer_is_armed(const struct k_itimer *timer)
{
	return timer->it_active;
}

static inline bool cairn_timer_waits(const struct k_itimer *timer)
{
	return timer->it_requeue_pending & 1;
}
#endif

/*
 * Clears what interrupts the task's sleeps because works are waiting: a flag of
 * its own since 5.11 and 5.10.162, include/linux/sched/signal.h. With the lock of
 * its signals.
 */
static inline void cairn_forget_works(struct task_struct *task)
{
#ifdef JOBCTL_TASK_WORK
	task->jobctl &= ~JOBCTL_TASK_WORK;
#else
	clear_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
#endif
}

/* Where the stack of a thread ends that sleeps. */
static inline unsigned long cairn_stack_pointer(const struct task_struct *task)
{
#ifdef CONFIG_X86_64
	return READ_ONCE(task->thread.sp);
#else
	return 0;
#endif
}

/*
 * Sleeps until a condition is met or the thread is killed. Suspending the machine
 * does not wait for it: told by the state since 6.1, by a flag before.
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

/* By another name since 5.14, include/linux/sched.h. */
static inline bool cairn_is_interruptible(const struct task_struct *task)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	return READ_ONCE(task->__state) & TASK_INTERRUPTIBLE;
#else
	return READ_ONCE(task->state) & TASK_INTERRUPTIBLE;
#endif
}

typedef enum hrtimer_restart cairn_timer_fn(struct hrtimer *timer);

/* Private since 6.16, include/linux/hrtimer_types.h. */
static inline cairn_timer_fn *cairn_timer_function(const struct hrtimer *timer)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	return ACCESS_PRIVATE(timer, function);
#else
	return timer->function;
#endif
}

/* With the function since 6.13, kernel/time/hrtimer.c. */
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
 * System calls that the module makes: from their registers, as the table of
 * system calls has them (arch/x86/include/asm/syscall_wrapper.h, 4.17).
 */
#ifdef CONFIG_X86_64
#define CAIRN_CALL_SYMBOL(X, name)					\
	X(long, __x64_sys_##name, (const struct pt_regs *regs), (regs),	\
	  -EINTR, CAIRN_FEATURE_CONTINUE, "is made again until its end")
#define CAIRN_CALL_SYMBOLS(X)						\
	CAIRN_CALL_SYMBOL(X, rt_sigtimedwait)				\
	CAIRN_CALL_SYMBOL(X, semtimedop)				\
	CAIRN_CALL_SYMBOL(X, epoll_wait)				\
	CAIRN_CALL_SYMBOL(X, epoll_pwait)
#define CAIRN_MAKES(name)	cairn___x64_sys_##name
#else
#define CAIRN_CALL_SYMBOLS(X)
#define CAIRN_MAKES(name)	NULL
#endif

/* The call that a thread makes when it goes back to its program; -1 for none. */
static inline int cairn_call_ahead(const struct pt_regs *regs)
{
#ifdef CONFIG_X86_64
	u16 code;

	/* SYSCALL is 0f 05. */
	if (regs->cs == __USER_CS && !get_user(code, (u16 __user *)regs->ip) &&
	    code == 0x050f && regs->ax <= INT_MAX)
		return regs->ax;
#endif
	return -1;
}

/* Changes the registers as that instruction does. */
static inline void cairn_enter_call(struct pt_regs *regs)
{
#ifdef CONFIG_X86_64
	regs->orig_ax = regs->ax;
	regs->ip += 2;
	regs->cx = regs->ip;
	regs->r11 = regs->flags;
#endif
}

/* When a timer of processor time fires; 0 when it is not armed. */
static inline u64 cairn_cpu_timer_expires(const struct k_itimer *timer)
{
	return timer->it.cpu.node.expires;
}

/* When a poll(2) ends by CLOCK_MONOTONIC, in nanoseconds. A timespec64 in 7.x. */
static inline s64 cairn_poll_end(const struct restart_block *block)
{
	if (!block->poll.has_timeout)
		return S64_MAX;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	return timespec64_to_ns(&block->poll.end_time);
#else
	return (s64)block->poll.tv_sec * NSEC_PER_SEC + block->poll.tv_nsec;
#endif
}

static inline void cairn_set_poll_end(struct restart_block *block, s64 end)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	block->poll.end_time = ns_to_timespec64(end);
#else
	block->poll.tv_sec = div_u64(end, NSEC_PER_SEC);
	block->poll.tv_nsec = end - (s64)block->poll.tv_sec * NSEC_PER_SEC;
#endif
}

/*
 * Takes pages of a process, and returns how many, or an error. The sixth of
 * seven parameters went in 6.5, mm/gup.c.
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

/* Says itself that the file system is written to since 6.8, fs/read_write.c. */
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
 * FLAGS_* of kernel/futex/futex.h (until 5.15 in kernel/futex.c), which got the
 * size of the futex and thereby other numbers in 6.7.
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

static inline clockid_t cairn_futex_clock(const struct restart_block *block)
{
	return block->futex.flags & CAIRN_FUTEX_CLOCKRT ? CLOCK_REALTIME :
							  CLOCK_MONOTONIC;
}

static inline u32 cairn_futex_flags(bool shared, clockid_t clock)
{
	return CAIRN_FUTEX_SIZE_32 | CAIRN_FUTEX_HAS_TIMEOUT |
	       (shared ? CAIRN_FUTEX_SHARED : 0) |
	       (clock == CLOCK_REALTIME ? CAIRN_FUTEX_CLOCKRT : 0);
}

#endif /* _CAIRN_COMPAT_H */
