/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The argument of an ioctl.
 *
 * An ioctl consists of: a structure of the user ABI, a member of union
 * cairn_argument, a handler in the file of its object, and a line in the table in
 * main.c.
 */
#ifndef _CAIRN_H
#define _CAIRN_H

#include <linux/types.h>

#include "uapi/cairn.h"

/* Copied in before a handler runs, and copied out after it. */
union cairn_argument {
	__u32 size;
	struct cairn_info info;
	struct cairn_freeze freeze;
	struct cairn_thaw thaw;
	struct cairn_thread thread;
	struct cairn_regset regset;
	struct cairn_pending pending;
	struct cairn_process process;
	struct cairn_actions actions;
	struct cairn_timer timer;
	struct cairn_continue proceed;
	struct cairn_save save;
	struct cairn_capability capability;
	struct cairn_policy policy;
};

#endif /* _CAIRN_H */
