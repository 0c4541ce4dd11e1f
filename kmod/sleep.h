/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Restart blocks: interrupted system calls with a remaining timeout.
 */
#ifndef _CAIRN_SLEEP_H
#define _CAIRN_SLEEP_H

#include <linux/fs.h>
#include <linux/types.h>

union cairn_argument;
struct cairn_deadline;
struct cairn_thread;
struct task_struct;

/* Looks up what the rest needs. Returns false if a function is missing. */
bool cairn_sleep_init(void);

/**
 * cairn_get_sleep() - fill in the sleep fields of a thread
 * @task: the thread, frozen
 * @deadline: that of the system call that it was interrupted in, or NULL
 * @thread: what to fill in
 */
void cairn_get_sleep(struct task_struct *task, const struct cairn_deadline *deadline,
		     struct cairn_thread *thread);

int cairn_continue(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_SLEEP_H */
