/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CAIRN_IOC_FREEZE and CAIRN_IOC_THAW.
 */
#ifndef _CAIRN_FREEZE_H
#define _CAIRN_FREEZE_H

#include <linux/fs.h>

union cairn_argument;

int cairn_freeze(struct file *file, union cairn_argument *arg);
int cairn_thaw(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_FREEZE_H */
