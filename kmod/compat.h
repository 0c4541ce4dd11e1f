/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All differences between kernel versions and architectures, and nothing else:
 * no other file looks at LINUX_VERSION_CODE or CONFIG_X86_64. Each entry names
 * the version, and the file or commit that made the difference.
 */
#ifndef _CAIRN_COMPAT_H
#define _CAIRN_COMPAT_H

#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/posix-timers.h>
#include <linux/prctl.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sched/signal.h>
#include <linux/thread_info.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#include <linux/sched/exec_state.h>
#endif

#ifdef CONFIG_X86_64
#include <linux/pkeys.h>
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

/* Two flags, and flags in a bitmap, since 6.18. */
static inline u32 cairn_thp_disable(struct mm_struct *mm)
{
#ifdef PR_THP_DISABLE_EXCEPT_ADVISED
	if (mm_flags_test(MMF_DISABLE_THP_COMPLETELY, mm))
		return 1;
	if (mm_flags_test(MMF_DISABLE_THP_EXCEPT_ADVISED, mm))
		return 1 | PR_THP_DISABLE_EXCEPT_ADVISED;
	return 0;
#else
	return test_bit(MMF_DISABLE_THP, &mm->flags);
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
