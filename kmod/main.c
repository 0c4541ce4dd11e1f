// SPDX-License-Identifier: GPL-2.0
/*
 * The module: its device, and which ioctl is answered by whom.
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

#include "cairn.h"
#include "compat.h"
#include "lookup.h"
#include "session.h"

#define CAIRN_VERSION "0.1.0"

/* Given by the Makefile. */
#ifndef CAIRN_SOURCE
#define CAIRN_SOURCE ""
#endif

/* A structure of the ABI keeps its size once it is released; see its rules. */
static_assert(sizeof(struct cairn_about) == 120);
static_assert(sizeof(struct cairn_hold) == 24);
static_assert(sizeof(struct cairn_release) == 8);
static_assert(sizeof(struct cairn_thread) == 184);
static_assert(sizeof(struct cairn_regset) == 32);
static_assert(sizeof(struct cairn_pending) == 32);
static_assert(sizeof(struct cairn_process) == 392);
static_assert(sizeof(struct cairn_actions) == 16);
static_assert(sizeof(struct cairn_timer) == 32);
static_assert(sizeof(struct cairn_continue) == 64);
static_assert(sizeof(struct cairn_range) == 16);
static_assert(sizeof(struct cairn_save) == 56);
static_assert(sizeof(struct cairn_restorer) == 8);
static_assert(sizeof(struct cairn_policy) == 152);
static_assert(sizeof(CAIRN_VERSION) <= sizeof_field(struct cairn_about, version));
static_assert(sizeof(CAIRN_SOURCE) <= sizeof_field(struct cairn_about, source));
static_assert(sizeof(union cairn_argument) <= 512, "it lives on the stack");

static ushort mode = 0600;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "permission bits of /dev/cairn (default 0600)");

/* What this kernel allows; does not change after the module is loaded. */
static u64 features __ro_after_init;

static int cairn_about(struct file *file, union cairn_argument *arg)
{
	struct cairn_about *about = &arg->about;

	about->abi_version = CAIRN_ABI_VERSION;
	about->features = features;
	strscpy(about->version, CAIRN_VERSION, sizeof(about->version));
	strscpy(about->source, CAIRN_SOURCE, sizeof(about->source));
	return 0;
}

/**
 * struct cairn_command - one ioctl
 * @min_size: size of the first version of its structure
 * @size: size of the structure that this module knows
 * @needs: features that it cannot do without
 * @run: does it; gets a zeroed copy of the structure, which goes back to the
 *	caller unless the result is negative
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

/* To hold a process takes a judgement whether the caller may. */
#define HOLDING		(CAIRN_FEATURE_HOLD | CAIRN_FEATURE_ACCESS)

static const struct cairn_command commands[] = {
	COMMAND(CAIRN_IOC_ABOUT, about, 120, 0, cairn_about),
	COMMAND(CAIRN_IOC_HOLD, hold, 24, HOLDING, cairn_hold),
	COMMAND(CAIRN_IOC_RELEASE, release, 8, HOLDING, cairn_release),
	COMMAND(CAIRN_IOC_THREAD, thread, 144, HOLDING, cairn_thread),
	COMMAND(CAIRN_IOC_REGSET, regset, 32, HOLDING, cairn_regset),
	COMMAND(CAIRN_IOC_PENDING, pending, 32, HOLDING, cairn_pending),
	COMMAND(CAIRN_IOC_PROCESS, process, 344, HOLDING, cairn_process),
	COMMAND(CAIRN_IOC_ACTIONS, actions, 16, HOLDING, cairn_actions),
	COMMAND(CAIRN_IOC_TIMER, timer, 32, HOLDING, cairn_timer),
	COMMAND(CAIRN_IOC_SAVE, save, 56, HOLDING | CAIRN_FEATURE_SAVE, cairn_save),
	COMMAND(CAIRN_IOC_CONTINUE, proceed, 64, CAIRN_FEATURE_CONTINUE, cairn_continue),
	COMMAND(CAIRN_IOC_RESTORER, restorer, 8, CAIRN_FEATURE_RESTORER, cairn_restorer),
	COMMAND(CAIRN_IOC_POLICY, policy, 152, HOLDING | CAIRN_FEATURE_SETTINGS, cairn_policy),
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
	/* The caller may have changed it between the two reads. */
	arg.size = size;
	if (command->needs & ~features)
		return -EOPNOTSUPP;

	ret = command->run(file, &arg);
	if (ret < 0)
		return ret;
	/* What is behind the part that the module knows is zero already. */
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
	features = CAIRN_FEATURE_ACCESS | CAIRN_FEATURE_RESTORER;
	if (CAIRN_HOLD_HERE)
		features |= CAIRN_FEATURE_HOLD | CAIRN_FEATURE_SAVE |
			    CAIRN_FEATURE_CONTINUE | CAIRN_FEATURE_SETTINGS;
	features = cairn_lookup_symbols(features);
	if (features & CAIRN_FEATURE_CONTINUE &&
	    !(cairn_sleep_init() && cairn_again_init()))
		features &= ~CAIRN_FEATURE_CONTINUE;
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
	/* Threads that were let go may not have left held_run() yet. */
	synchronize_rcu_tasks();
}

module_init(cairn_init);
module_exit(cairn_exit);

MODULE_DESCRIPTION("Checkpoint and restart of processes, the kernel's part");
MODULE_AUTHOR("The cairn developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(CAIRN_VERSION);
