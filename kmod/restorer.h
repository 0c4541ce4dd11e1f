/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The capability that a restart needs.
 */
#ifndef _CAIRN_RESTORER_H
#define _CAIRN_RESTORER_H

#include <linux/fs.h>

union cairn_argument;

int cairn_become_restorer(struct file *file, union cairn_argument *arg);

#endif /* _CAIRN_RESTORER_H */
