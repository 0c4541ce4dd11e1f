/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory policies.
 */
#ifndef _CAIRN_POLICY_H
#define _CAIRN_POLICY_H

#include <linux/fs.h>

union cairn_argument;

int cairn_get_policy(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_POLICY_H */
