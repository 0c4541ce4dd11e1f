/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writing memory of a frozen process to a file.
 */
#ifndef _CAIRN_MEMORY_H
#define _CAIRN_MEMORY_H

#include <linux/fs.h>

union cairn_argument;
struct cairn_session;

int cairn_save(struct file *device, union cairn_argument *arg);
void cairn_free_frames(struct cairn_session *session);

#endif /* _CAIRN_MEMORY_H */
