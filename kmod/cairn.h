/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module's files know of each other.
 *
 * An ioctl is: a structure of the user ABI, a member of union cairn_argument, a
 * handler in the file of its object, and a line in the table in main.c.
 */
#ifndef _CAIRN_H
#define _CAIRN_H

#include <linux/fs.h>
#include <linux/types.h>

#include "uapi/cairn.h"

struct cairn_end;
struct mm_struct;
struct signal_struct;
struct task_struct;

/* Every ioctl's argument, as the dispatcher copies it in and out. */
union cairn_argument {
	__u32 size;
	struct cairn_about about;
	struct cairn_hold hold;
	struct cairn_release release;
	struct cairn_thread thread;
	struct cairn_regset regset;
	struct cairn_pending pending;
	struct cairn_process process;
	struct cairn_actions actions;
	struct cairn_timer timer;
	struct cairn_continue proceed;
	struct cairn_save save;
	struct cairn_restorer restorer;
	struct cairn_policy policy;
};

/* session.c */
int cairn_open(struct inode *inode, struct file *file);
int cairn_close(struct inode *inode, struct file *file);
int cairn_hold(struct file *file, union cairn_argument *arg);
int cairn_release(struct file *file, union cairn_argument *arg);

/* thread.c */
int cairn_thread(struct file *file, union cairn_argument *arg);
int cairn_regset(struct file *file, union cairn_argument *arg);
int cairn_pending(struct file *file, union cairn_argument *arg);

/* process.c */
int cairn_process(struct file *file, union cairn_argument *arg);
int cairn_actions(struct file *file, union cairn_argument *arg);

/* settings.c */
void cairn_thread_settings(struct task_struct *task, struct cairn_thread *thread);
void cairn_process_settings(struct task_struct *leader, struct mm_struct *mm,
			    struct cairn_process *process);

/* policy.c */
int cairn_policy(struct file *file, union cairn_argument *arg);

/* memory.c */
int cairn_save(struct file *device, union cairn_argument *arg);

/* timer.c */
int cairn_timer(struct file *file, union cairn_argument *arg);
bool cairn_is_of_time(clockid_t clock);
void cairn_interval_timers(const struct signal_struct *signal,
			   struct cairn_process *process);

/* restorer.c */
int cairn_restorer(struct file *file, union cairn_argument *arg);

/* refusal.c */
/**
 * cairn_refused() - says in the log that somebody may not do something
 * @what: a few words before the number
 * @nr: the process or thread that it was about, in the first namespace
 *
 * Return: -EPERM.
 */
int cairn_refused(const char *what, pid_t nr);

/* sleep.c */
bool cairn_sleep_init(void);
void cairn_sleep(struct task_struct *task, const struct cairn_end *end,
		 struct cairn_thread *thread);
int cairn_continue(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_H */
