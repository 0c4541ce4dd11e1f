/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All differences between kernel versions, and nothing else: no other file
 * looks at LINUX_VERSION_CODE. Each entry names the version, and the file or
 * commit that made the difference, and gives old kernels the new name.
 */
#ifndef _CAIRN_COMPAT_H
#define _CAIRN_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "cairn needs Linux 5.10 or newer"
#endif

#endif /* _CAIRN_COMPAT_H */
