/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel functions that are not exported to modules. Only this table and lookup.c
 * look them up.
 *
 * Without a function the feature that needs it is off. The module loads anyway.
 */
#ifndef _CAIRN_LOOKUP_H
#define _CAIRN_LOOKUP_H

#include <linux/static_call.h>
#include <linux/types.h>

#include "arch.h"
#include "uapi/cairn.h"

struct mempolicy;
struct task_struct;

#ifdef CONFIG_NUMA
#define CAIRN_POLICY_SYMBOLS(X)						\
	X(void, __mpol_put, (struct mempolicy *pol), (pol), (void)0,	\
	  CAIRN_FEATURE_SETTINGS, "drops a reference to a memory policy")
#else
#define CAIRN_POLICY_SYMBOLS(X)
#endif

/*
 * X(result, name, parameters, arguments, value when absent, feature, reason)
 *
 * Call one as cairn_name(arguments). Each is a static call, not a function pointer:
 * with indirect branch tracking the kernel overwrites ENDBR in functions whose
 * address is not taken, apply_seal_endbr() in arch/x86/kernel/alternative.c (5.18),
 * so that an indirect call faults. A direct call needs no ENDBR.
 */
#define CAIRN_SYMBOLS(X)						\
	X(bool, ptrace_may_access,					\
	  (struct task_struct *task, unsigned int mode), (task, mode),	\
	  false, CAIRN_FEATURE_ACCESS,					\
	  "checks whether the caller may attach to a task")		\
	X(void, put_task_stack, (struct task_struct *task), (task),	\
	  (void)0, CAIRN_FEATURE_FREEZE, "unpins the stack of a thread") \
	X(int, arch_prctl_spec_ctrl_get,				\
	  (struct task_struct *task, unsigned long which), (task, which), \
	  -EINVAL, CAIRN_FEATURE_SETTINGS,				\
	  "reads speculation control of a task")			\
	CAIRN_POLICY_SYMBOLS(X)						\
	CAIRN_SYSCALL_SYMBOLS(X)

#define CAIRN_DECLARE_SYMBOL(result, name, params, args, absent, feature, why) \
	result cairn_absent_##name params;				\
	DECLARE_STATIC_CALL(cairn_call_##name, cairn_absent_##name);	\
	static inline result cairn_##name params			\
	{								\
		return static_call(cairn_call_##name)args;		\
	}
CAIRN_SYMBOLS(CAIRN_DECLARE_SYMBOL)

/**
 * cairn_lookup_symbols() - look up every function of the table
 * @features: CAIRN_FEATURE_* that the module would have with all of them
 *
 * Context: Process context, once, before any function of the table is called.
 * Return: @features without those that lack a function
 */
u64 cairn_lookup_symbols(u64 features);

/**
 * cairn_lookup_address() - address of a kernel function that the module only
 * compares or stores, and never calls; or of a variable
 * @name: its name
 *
 * Context: Process context, after cairn_lookup_symbols().
 * Return: its address; 0 if this kernel does not have it
 */
unsigned long cairn_lookup_address(const char *name);

#endif /* _CAIRN_LOOKUP_H */
