/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The capability that a restart needs.
 */
#ifndef _CAIRN_CAPABILITY_H
#define _CAIRN_CAPABILITY_H

#include <linux/fs.h>

union cairn_argument;

int cairn_get_capability(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_CAPABILITY_H */
