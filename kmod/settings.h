/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Settings of a thread and of its process.
 */
#ifndef _CAIRN_SETTINGS_H
#define _CAIRN_SETTINGS_H

#include <linux/types.h>

struct cairn_process;
struct cairn_thread;
struct mm_struct;
struct task_struct;

/**
 * cairn_settings_init() - find the variables of the kernel that settings are read by
 *
 * Context: Process context, once, after cairn_lookup_symbols().
 * Return: whether this kernel has all of them
 */
bool cairn_settings_init(void);
void cairn_thread_settings(struct task_struct *task, struct cairn_thread *thread);
void cairn_process_settings(struct task_struct *leader, struct mm_struct *mm,
			    struct cairn_process *process);

#endif /* _CAIRN_SETTINGS_H */
