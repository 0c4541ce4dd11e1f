/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user ABI of the cairn module: ioctls on /dev/cairn.
 *
 * Rules, for every structure and for good:
 *
 * - Fields have explicit sizes and natural alignment, and there are no holes,
 *   so a structure looks the same to 32-bit and 64-bit programs. Addresses
 *   travel as __u64. Fields that are named reserved are zero.
 * - The first field is @size: the size of the structure that the caller was
 *   compiled with. Structures grow at their end only, and zero in a new field
 *   means what was the case before there was one. A caller's structure that is
 *   shorter than the module's is taken as if zeros followed. One that is
 *   longer is taken if what the module does not know is zero.
 * - The number of an ioctl does not contain the size and never changes.
 *
 * What every ioctl can fail with:
 *
 * ENOTTY	the module has no such ioctl
 * EINVAL	@size is less than the structure's first version
 * E2BIG	there are bytes that the module does not know, and not all of
 *		them are zero; or @size is more than a page
 * EFAULT	the structure cannot be read or written
 * EOPNOTSUPP	what the ioctl needs is missing in this kernel: see the
 *		features of struct cairn_about
 */
#ifndef _UAPI_CAIRN_H
#define _UAPI_CAIRN_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Changes when a program that was written for the older ABI would go wrong
 * with the newer one. What is merely added shows in the features.
 */
#define CAIRN_ABI_VERSION	1

/* The path of the device. */
#define CAIRN_DEVICE		"/dev/cairn"

/* The type of all ioctls. */
#define CAIRN_IOC_TYPE		0xC7

/*
 * Features: bits of cairn_about.features. A feature that is off on some kernel
 * takes its ioctls with it (EOPNOTSUPP), and nothing else.
 */

/* The module can judge whether the caller may reach into another task. */
#define CAIRN_FEATURE_ACCESS	(1ULL << 0)

/**
 * struct cairn_about - what the loaded module is and can do
 * @size: in: sizeof(struct cairn_about)
 * @abi_version: out: CAIRN_ABI_VERSION of the module
 * @features: out: which CAIRN_FEATURE_* this kernel allows
 * @version: out: the module's version, ended by a zero byte
 * @source: out: SHA-256 of the module's sources in hexadecimal digits, ended
 *	by a zero byte; empty when the build did not know it
 */
struct cairn_about {
	__u32 size;
	__u32 abi_version;
	__u64 features;
	char version[32];
	char source[72];
};

/*
 * CAIRN_IOC_ABOUT: fills a struct cairn_about. Anybody who could open the
 * device may ask.
 */
#define CAIRN_IOC_ABOUT		_IO(CAIRN_IOC_TYPE, 0x00)

#endif /* _UAPI_CAIRN_H */
