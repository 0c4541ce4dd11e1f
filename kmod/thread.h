/* SPDX-License-Identifier: GPL-2.0 */
/*
 * State of one thread: registers, signal mask, registrations, pending signals.
 */
#ifndef _CAIRN_THREAD_H
#define _CAIRN_THREAD_H

#include <linux/fs.h>

union cairn_argument;

int cairn_get_thread(struct file *file, union cairn_argument *arg);
int cairn_get_regset(struct file *file, union cairn_argument *arg);
int cairn_get_pending(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_THREAD_H */
