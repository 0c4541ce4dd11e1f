// SPDX-License-Identifier: GPL-2.0
/*
 * The device, and the table of ioctls.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "cairn.h"
#include "capability.h"
#include "freeze.h"
#include "lookup.h"
#include "memory.h"
#include "policy.h"
#include "process.h"
#include "session.h"
#include "settings.h"
#include "sleep.h"
#include "syscall_restart.h"
#include "thread.h"
#include "timer.h"

#define CAIRN_VERSION "0.1.0"

/* Set by the Makefile. */
#ifndef CAIRN_SOURCE
#define CAIRN_SOURCE ""
#endif

/* The size of a structure never shrinks; see the rules of the ABI. */
static_assert(sizeof(struct cairn_info) == 120);
static_assert(sizeof(struct cairn_freeze) == 24);
static_assert(sizeof(struct cairn_thaw) == 8);
static_assert(sizeof(struct cairn_thread) == 200);
static_assert(sizeof(struct cairn_regset) == 32);
static_assert(sizeof(struct cairn_pending) == 32);
static_assert(sizeof(struct cairn_process) == 392);
static_assert(sizeof(struct cairn_actions) == 16);
static_assert(sizeof(struct cairn_timer) == 32);
static_assert(sizeof(struct cairn_continue) == 64);
static_assert(sizeof(struct cairn_range) == 16);
static_assert(sizeof(struct cairn_save) == 56);
static_assert(sizeof(struct cairn_capability) == 8);
static_assert(sizeof(struct cairn_policy) == 152);
static_assert(sizeof(CAIRN_VERSION) <= sizeof_field(struct cairn_info, version));
static_assert(sizeof(CAIRN_SOURCE) <= sizeof_field(struct cairn_info, source));
static_assert(sizeof(union cairn_argument) <= 512, "cairn_ioctl() has it on the stack");

static ushort mode = 0600;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "permission bits of /dev/cairn (default 0600)");

/* CAIRN_FEATURE_* that this kernel supports. */
static u64 features __ro_after_init;

static int cairn_get_info(struct file *file, union cairn_argument *arg)
{
	struct cairn_info *info = &arg->info;

	info->abi_version = CAIRN_ABI_VERSION;
	info->features = features;
	strscpy(info->version, CAIRN_VERSION, sizeof(info->version));
	strscpy(info->source, CAIRN_SOURCE, sizeof(info->source));
	return 0;
}

/**
 * struct cairn_command - one ioctl
 * @min_size: size of the first version of its structure
 * @size: size of the structure in this module
 * @needs: CAIRN_FEATURE_* that it requires
 * @run: the handler; its argument is copied back to the caller unless it returns an
 *	error
 */
struct cairn_command {
	u32 min_size;
	u32 size;
	u64 needs;
	int (*run)(struct file *file, union cairn_argument *arg);
};

#define COMMAND(ioc, member, first_size, features_needed, handler)	\
	[_IOC_NR(ioc)] = {						\
		.min_size = first_size,					\
		.size = sizeof_field(union cairn_argument, member),	\
		.needs = features_needed,				\
		.run = handler,						\
	}

/* Freezing requires the permission check. */
#define FREEZING	(CAIRN_FEATURE_FREEZE | CAIRN_FEATURE_ACCESS)

static const struct cairn_command commands[] = {
	COMMAND(CAIRN_IOC_GET_INFO, info, 120, 0, cairn_get_info),
	COMMAND(CAIRN_IOC_FREEZE, freeze, 24, FREEZING, cairn_freeze),
	COMMAND(CAIRN_IOC_THAW, thaw, 8, FREEZING, cairn_thaw),
	COMMAND(CAIRN_IOC_GET_THREAD, thread, 144, FREEZING, cairn_get_thread),
	COMMAND(CAIRN_IOC_GET_REGSET, regset, 32, FREEZING, cairn_get_regset),
	COMMAND(CAIRN_IOC_GET_PENDING, pending, 32, FREEZING, cairn_get_pending),
	COMMAND(CAIRN_IOC_GET_PROCESS, process, 344, FREEZING, cairn_get_process),
	COMMAND(CAIRN_IOC_GET_ACTIONS, actions, 16, FREEZING, cairn_get_actions),
	COMMAND(CAIRN_IOC_GET_TIMER, timer, 32, FREEZING, cairn_get_timer),
	COMMAND(CAIRN_IOC_SAVE, save, 56, FREEZING | CAIRN_FEATURE_SAVE, cairn_save),
	COMMAND(CAIRN_IOC_CONTINUE, proceed, 64, CAIRN_FEATURE_CONTINUE, cairn_continue),
	COMMAND(CAIRN_IOC_GET_CAPABILITY, capability, 8, CAIRN_FEATURE_CAPABILITY,
		cairn_get_capability),
	COMMAND(CAIRN_IOC_GET_POLICY, policy, 152, FREEZING | CAIRN_FEATURE_SETTINGS,
		cairn_get_policy),
};

static long cairn_ioctl(struct file *file, unsigned int cmd, unsigned long where)
{
	void __user *user = (void __user *)where;
	const struct cairn_command *command;
	union cairn_argument arg;
	u32 size;
	int ret;

	if (_IOC_NR(cmd) >= ARRAY_SIZE(commands) ||
	    cmd != _IO(CAIRN_IOC_TYPE, _IOC_NR(cmd)))
		return -ENOTTY;
	command = &commands[_IOC_NR(cmd)];
	if (!command->run)
		return -ENOTTY;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < command->min_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	memset(&arg, 0, sizeof(arg));
	ret = copy_struct_from_user(&arg, command->size, user, size);
	if (ret)
		return ret;
	/* The caller may have changed it since get_user(). */
	arg.size = size;
	if (command->needs & ~features)
		return -EOPNOTSUPP;

	ret = command->run(file, &arg);
	if (ret < 0)
		return ret;
	/* copy_struct_from_user() has checked that the rest is zero. */
	if (copy_to_user(user, &arg, min(size, command->size)))
		return -EFAULT;
	return ret;
}

static const struct file_operations cairn_fops = {
	.owner = THIS_MODULE,
	.open = cairn_open,
	.release = cairn_close,
	.unlocked_ioctl = cairn_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice cairn_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "cairn",
	.fops = &cairn_fops,
};

static int __init cairn_init(void)
{
	int err;

	if (mode & ~0666) {
		pr_err("mode=%#o: not permission bits of a device\n", mode);
		return -EINVAL;
	}
	cairn_device.mode = mode;
	features = CAIRN_FEATURE_ACCESS | CAIRN_FEATURE_CAPABILITY;
	if (CAIRN_ARCH_CAN_FREEZE)
		features |= CAIRN_FEATURE_FREEZE | CAIRN_FEATURE_SAVE |
			    CAIRN_FEATURE_CONTINUE | CAIRN_FEATURE_SETTINGS;
	features = cairn_lookup_symbols(features);
	if (features & CAIRN_FEATURE_CONTINUE &&
	    !(cairn_sleep_init() && cairn_syscall_restart_init()))
		features &= ~CAIRN_FEATURE_CONTINUE;
	if (features & CAIRN_FEATURE_SETTINGS && !cairn_settings_init())
		features &= ~CAIRN_FEATURE_SETTINGS;
	err = misc_register(&cairn_device);
	if (err) {
		pr_err("register the device: %d\n", err);
		return err;
	}
	pr_info("version %s, ABI %d, features %#llx\n", CAIRN_VERSION,
		CAIRN_ABI_VERSION, features);
	return 0;
}

static void __exit cairn_exit(void)
{
	misc_deregister(&cairn_device);
	/* Threads may still execute the end of a task work: see module_put() there. */
	synchronize_rcu_tasks();
}

module_init(cairn_init);
module_exit(cairn_exit);

MODULE_DESCRIPTION("Kernel support for checkpoint and restart of processes");
MODULE_AUTHOR("The cairn developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(CAIRN_VERSION);
