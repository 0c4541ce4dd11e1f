/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the kernel that are not exported to modules. This table and
 * lookup.c are the one place where such are looked up.
 *
 * A function that this kernel does not have turns off the feature that needs
 * it. The module loads all the same.
 */
#ifndef _CAIRN_LOOKUP_H
#define _CAIRN_LOOKUP_H

#include <linux/static_call.h>
#include <linux/types.h>

#include "compat.h"

struct mempolicy;
struct task_struct;

/*
 * X(result, name, parameters, arguments, value when absent, feature, reason)
 *
 * Call one as cairn_name(arguments). Each is a static call and not a function
 * pointer: kernels with indirect branch tracking have taken the landing pads
 * from functions whose address nobody takes, and an indirect call of such a
 * one is fatal (apply_seal_endbr() in arch/x86/kernel/alternative.c, 5.18). A
 * direct call needs no landing pad.
 */
#define CAIRN_SYMBOLS(X)						\
	X(bool, ptrace_may_access,					\
	  (struct task_struct *task, unsigned int mode), (task, mode),	\
	  false, CAIRN_FEATURE_ACCESS,					\
	  "decides as ptrace does whether a task may be looked into")	\
	X(void, put_task_stack, (struct task_struct *task), (task),	\
	  (void)0, CAIRN_FEATURE_HOLD, "gives back a stack that was kept") \
	X(int, arch_prctl_spec_ctrl_get,				\
	  (struct task_struct *task, unsigned long which), (task, which), \
	  -EINVAL, CAIRN_FEATURE_SETTINGS,				\
	  "tells how a task controls speculation")			\
	CAIRN_POLICY_SYMBOLS(X)						\
	CAIRN_CALL_SYMBOLS(X)

#define CAIRN_DECLARE_SYMBOL(result, name, params, args, absent, feature, why) \
	result cairn_absent_##name params;				\
	DECLARE_STATIC_CALL(cairn_call_##name, cairn_absent_##name);	\
	static inline result cairn_##name params			\
	{								\
		return static_call(cairn_call_##name)args;		\
	}
CAIRN_SYMBOLS(CAIRN_DECLARE_SYMBOL)

/**
 * cairn_lookup_symbols() - look up everything in the table
 * @features: the features to begin with
 *
 * Context: Process context, once, before anything of the table is called.
 * Return: @features without those that lack a function
 */
u64 cairn_lookup_symbols(u64 features);

/**
 * cairn_lookup_address() - where a function of the kernel is that is never
 * called from here, only recognized and handed back to the kernel
 * @name: its name
 *
 * Context: Process context, after cairn_lookup_symbols().
 * Return: its address; 0 when this kernel does not have it
 */
unsigned long cairn_lookup_address(const char *name);

#endif /* _CAIRN_LOOKUP_H */
