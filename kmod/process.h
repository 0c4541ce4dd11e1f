/* SPDX-License-Identifier: GPL-2.0 */
/*
 * State that the threads of a process share.
 */
#ifndef _CAIRN_PROCESS_H
#define _CAIRN_PROCESS_H

#include <linux/fs.h>

union cairn_argument;

int cairn_get_process(struct file *file, union cairn_argument *arg);
int cairn_get_actions(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_PROCESS_H */
