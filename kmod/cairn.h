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

/* Every ioctl's argument, as the dispatcher copies it in and out. */
union cairn_argument {
	__u32 size;
	struct cairn_about about;
};

#endif /* _CAIRN_H */
