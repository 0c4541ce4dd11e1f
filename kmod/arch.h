/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Architecture-specific code: x86-64, and stubs for the architectures on which
 * the module does not freeze threads (arm64, powerpc). No other file tests an
 * architecture. Where such code differs between kernel versions, the version is
 * tested here and not in compat.h.
 */
#ifndef _CAIRN_ARCH_H
#define _CAIRN_ARCH_H

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/thread_info.h>
#include <linux/types.h>
#include <linux/version.h>

/* Address that a signal handler returns to; 0 where sigaction() has none. */
static inline u64 cairn_sa_restorer(const struct sigaction *sa)
{
#ifdef __ARCH_HAS_SA_RESTORER
	return (unsigned long)sa->sa_restorer;
#else
	return 0;
#endif
}

#ifdef CONFIG_X86_64

#include <linux/pkeys.h>
#include <linux/rwsem.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/fpu/xstate.h>
#include <asm/mmu_context.h>

#define CAIRN_ARCH_CAN_FREEZE	true

/* PR_GET_TSC: get_tsc_mode() in arch/x86/kernel/process.c. */
static inline u32 cairn_tsc(struct task_struct *task)
{
	return test_tsk_thread_flag(task, TIF_NOTSC) ? PR_TSC_SIGSEGV :
						       PR_TSC_ENABLE;
}

/* ARCH_GET_CPUID: get_cpuid_mode() in arch/x86/kernel/process.c. */
static inline s32 cairn_cpuid(struct task_struct *task)
{
	return !test_tsk_thread_flag(task, TIF_NOCPUID);
}

/* Segments of set_thread_area(2): arch/x86/kernel/tls.c. */
static inline u32 cairn_tls_segments(const struct task_struct *task)
{
	const struct desc_struct *tls = task->thread.tls_array;
	u32 count = 0;
	int i;

	for (i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++)
		count += !!memchr_inv(&tls[i], 0, sizeof(tls[i]));
	return count;
}

/* Whether ioperm(2) or iopl(2) gave the task access to I/O ports. */
static inline bool cairn_has_io_ports(const struct task_struct *task)
{
#ifdef CONFIG_X86_IOPL_IOPERM
	return task->thread.io_bitmap || task->thread.iopl_emul;
#else
	return false;
#endif
}

/* Size in bytes of the table of modify_ldt(2): arch/x86/kernel/ldt.c. */
static inline s32 cairn_ldt_size(struct mm_struct *mm)
{
#ifdef CONFIG_MODIFY_LDT_SYSCALL
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
 * ARCH_GET_XCOMP_PERM, which reports the group leader's permissions: 5.16,
 * fpu_xstate_prctl() in arch/x86/kernel/fpu/xstate.c. struct fpu follows
 * task_struct since 6.16, x86_task_fpu() in arch/x86/include/asm/processor.h.
 */
static inline s32 cairn_xcomp_perm(const struct task_struct *leader, u64 *perm)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
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

/* ARCH_GET_UNTAG_MASK: 6.4, arch/x86/kernel/process_64.c. */
static inline s32 cairn_untag_mask(const struct mm_struct *mm, u64 *mask)
{
#ifdef CONFIG_ADDRESS_MASKING
	*mask = mm->context.untag_mask;
	return 0;
#else
	return -EINVAL;
#endif
}

/* Protection keys allocated by pkey_alloc(2), bit n for key n. */
static inline u32 cairn_pkeys(struct mm_struct *mm)
{
	u32 keys = 0;
	int key;

	for (key = 1; key < arch_max_pkey(); key++)
		if (mm_pkey_is_allocated(mm, key))
			keys |= 1U << key;
	return keys;
}

/* The stack pointer saved by the last context switch away from the task. */
static inline unsigned long cairn_stack_pointer(const struct task_struct *task)
{
	return READ_ONCE(task->thread.sp);
}

/*
 * Entries of the system call table: they take their arguments from the saved
 * registers since 4.17, arch/x86/include/asm/syscall_wrapper.h.
 */
#define CAIRN_SYSCALL_SYMBOL(X, name)					\
	X(long, __x64_sys_##name, (const struct pt_regs *regs), (regs),	\
	  -EINTR, CAIRN_FEATURE_CONTINUE, "restarts an interrupted system call")
#define CAIRN_SYSCALL_SYMBOLS(X)					\
	CAIRN_SYSCALL_SYMBOL(X, rt_sigtimedwait)			\
	CAIRN_SYSCALL_SYMBOL(X, semtimedop)				\
	CAIRN_SYSCALL_SYMBOL(X, epoll_wait)				\
	CAIRN_SYSCALL_SYMBOL(X, epoll_pwait)
#define CAIRN_SYSCALL(name)	cairn___x64_sys_##name

/*
 * The number of the system call that the current thread makes as soon as it
 * returns to user space with these registers; -1 if the instruction there is not
 * SYSCALL (0f 05).
 */
static inline int cairn_next_syscall(const struct pt_regs *regs)
{
	u16 code;

	if (regs->cs == __USER_CS && !get_user(code, (u16 __user *)regs->ip) &&
	    code == 0x050f && regs->ax <= INT_MAX)
		return regs->ax;
	return -1;
}

/* Changes the registers as entry_SYSCALL_64 does for that instruction. */
static inline void cairn_enter_syscall(struct pt_regs *regs)
{
	regs->orig_ax = regs->ax;
	regs->ip += 2;
	regs->cx = regs->ip;
	regs->r11 = regs->flags;
}

#else /* !CONFIG_X86_64 */

/* Freezing has not been tested here: CAIRN_FEATURE_FREEZE stays off. */
#define CAIRN_ARCH_CAN_FREEZE	false

static inline u32 cairn_tsc(struct task_struct *task)
{
	return 0;
}

static inline s32 cairn_cpuid(struct task_struct *task)
{
	return -EOPNOTSUPP;
}

static inline u32 cairn_tls_segments(const struct task_struct *task)
{
	return 0;
}

static inline bool cairn_has_io_ports(const struct task_struct *task)
{
	return false;
}

static inline s32 cairn_ldt_size(struct mm_struct *mm)
{
	return -EOPNOTSUPP;
}

static inline s32 cairn_xcomp_perm(const struct task_struct *leader, u64 *perm)
{
	return -EOPNOTSUPP;
}

static inline s32 cairn_untag_mask(const struct mm_struct *mm, u64 *mask)
{
	return -EOPNOTSUPP;
}

static inline u32 cairn_pkeys(struct mm_struct *mm)
{
	return 0;
}

static inline unsigned long cairn_stack_pointer(const struct task_struct *task)
{
	return 0;
}

#define CAIRN_SYSCALL_SYMBOLS(X)
#define CAIRN_SYSCALL(name)	NULL

static inline int cairn_next_syscall(const struct pt_regs *regs)
{
	return -1;
}

static inline void cairn_enter_syscall(struct pt_regs *regs)
{
}

#endif /* CONFIG_X86_64 */

#endif /* _CAIRN_ARCH_H */
