/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user ABI of the cairn module: ioctls on /dev/cairn.
 *
 * Rules for every structure:
 *
 * - Fields have explicit sizes and natural alignment, and there is no padding, so
 *   that the layout is the same for 32-bit and 64-bit programs. Addresses are
 *   __u64. Fields named reserved are zero.
 * - The first field is @size: sizeof() of the structure that the caller was compiled
 *   with. Structures grow at the end only, and zero in a new field selects the
 *   behaviour from before it was added. A caller's structure that is shorter than
 *   the module's is extended with zeros. A longer one is accepted if the excess
 *   bytes are zero.
 * - The number of an ioctl does not encode the size and never changes.
 *
 * Errors of every ioctl:
 *
 * ENOTTY	the module has no such ioctl
 * EINVAL	@size is less than the structure's first version
 * E2BIG	a byte beyond the module's structure is not zero; or @size is
 *		more than a page
 * EFAULT	the structure cannot be read or written
 * EOPNOTSUPP	this kernel lacks a feature that the ioctl needs: see the
 *		features of struct cairn_info
 */
#ifndef _UAPI_CAIRN_H
#define _UAPI_CAIRN_H

#include <linux/const.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Changes when a program written for the older ABI would not work with the newer
 * one. Additions are features.
 */
#define CAIRN_ABI_VERSION	1

/* Path of the device. */
#define CAIRN_DEVICE		"/dev/cairn"

/* Type of all ioctls. */
#define CAIRN_IOC_TYPE		0xC7

/*
 * Features: bits of cairn_info.features. Without a feature its ioctls fail with
 * EOPNOTSUPP.
 */

/* The module can check the caller's permission to access another task. */
#define CAIRN_FEATURE_ACCESS	_BITULL(0)

/* Processes can be frozen and inspected: FREEZE to GET_TIMER below. */
#define CAIRN_FEATURE_FREEZE	_BITULL(1)

/* A thread can continue a sleep for the remaining time: CONTINUE. */
#define CAIRN_FEATURE_CONTINUE	_BITULL(2)

/* Unprivileged users can restart their processes: GET_CAPABILITY. */
#define CAIRN_FEATURE_CAPABILITY	_BITULL(3)

/* Memory can be written to a file: SAVE. */
#define CAIRN_FEATURE_SAVE	_BITULL(4)

/*
 * Settings of threads and processes: the fields of struct cairn_thread from
 * @spec_store_bypass on, those of struct cairn_process from @continue_report on,
 * and GET_POLICY.
 */
#define CAIRN_FEATURE_SETTINGS	_BITULL(5)

/**
 * struct cairn_info - version and features of the module
 * @size: in: sizeof(struct cairn_info)
 * @abi_version: out: CAIRN_ABI_VERSION of the module
 * @features: out: CAIRN_FEATURE_* that this kernel supports
 * @version: out: version of the module, NUL-terminated
 * @source: out: SHA-256 of the module's sources in hexadecimal digits,
 *	NUL-terminated; empty if the build did not set it
 */
struct cairn_info {
	__u32 size;
	__u32 abi_version;
	__u64 features;
	char version[32];
	char source[72];
};

/* CAIRN_IOC_GET_INFO: fills in a struct cairn_info. */
#define CAIRN_IOC_GET_INFO	_IO(CAIRN_IOC_TYPE, 0x00)

/**
 * struct cairn_freeze - stop every thread of a process, without a tracer
 * @size: in: sizeof(struct cairn_freeze)
 * @pid: in: the process's PID in the caller's PID namespace
 * @flags: in: CAIRN_FREEZE_*
 * @timeout_ms: in: how long to wait for threads in uninterruptible sleep; 60000 at
 *	most
 * @threads: out: number of threads of the process that are frozen
 * @reserved: in: zero
 *
 * A session is an open file of the device. A frozen thread executes no user code
 * until the session thaws it: by CAIRN_IOC_THAW, or by the last close of the file.
 * The thread observes no more than it would of an ignored signal; system calls that
 * fail with EINTR after such a signal are restarted. A fatal signal kills the
 * process, others stay pending until the thaw. Threads that are stopped, by a signal
 * or a tracer, stay stopped, and are frozen when they are resumed.
 */
struct cairn_freeze {
	__u32 size;
	__s32 pid;
	__u32 flags;
	__u32 timeout_ms;
	__u32 threads;
	__u32 reserved;
};

/* Freeze traced threads, too. The tracer is not notified. */
#define CAIRN_FREEZE_TRACED	1

/*
 * CAIRN_IOC_FREEZE: takes a struct cairn_freeze. After an error no thread of the
 * process is frozen.
 *
 * ESRCH	no such process
 * EPERM	the caller lacks ptrace attach permission for one of its threads
 * EDEADLK	it is the caller's own process
 * EINVAL	@pid is a thread that is not the group leader; unknown flag
 * EALREADY	this session has frozen it
 * EBUSY	a thread of it is traced, and CAIRN_FREEZE_TRACED is not set
 * EOPNOTSUPP	a kernel thread, or a process with kernel worker threads (io_uring)
 * ETIMEDOUT	a thread of it does not stop
 * EINTR	the caller was killed
 */
#define CAIRN_IOC_FREEZE	_IO(CAIRN_IOC_TYPE, 0x10)

/**
 * struct cairn_thaw - let a frozen process run again
 * @size: in: sizeof(struct cairn_thaw)
 * @pid: in: the process; 0 for all processes that the session has frozen
 */
struct cairn_thaw {
	__u32 size;
	__s32 pid;
};

/*
 * CAIRN_IOC_THAW: takes a struct cairn_thaw.
 *
 * ESRCH	the session has not frozen it
 */
#define CAIRN_IOC_THAW		_IO(CAIRN_IOC_TYPE, 0x11)

/* State of a thread: cairn_thread.state */
#define CAIRN_STATE_FROZEN	0	/* waits in the module */
#define CAIRN_STATE_STOPPED	1	/* stopped by a signal */
#define CAIRN_STATE_TRACED	2	/* stopped by a tracer */

/* Interrupted system call with a remaining timeout: cairn_thread.sleep */
#define CAIRN_SLEEP_NONE	0	/* none */
#define CAIRN_SLEEP_NANO	1	/* nanosleep(2), clock_nanosleep(2) */
#define CAIRN_SLEEP_POLL	2	/* poll(2) */
#define CAIRN_SLEEP_FUTEX	3	/* futex(2) */
#define CAIRN_SLEEP_OTHER	4	/* another one with a restart block */
#define CAIRN_SLEEP_CALL	5	/* restarted from the registers:
					 * rt_sigtimedwait(2), semtimedop(2),
					 * epoll_wait(2), epoll_pwait(2)
					 */

/**
 * struct cairn_thread - state of one thread
 * @size: in: sizeof(struct cairn_thread)
 * @tid: in: the thread, of a process that the session has frozen
 * @state: out: CAIRN_STATE_*
 * @stop_signal: out: the signal that stopped the thread; 0 for none
 * @sigmask: out: blocked signals, bit n-1 for signal n; without the temporary mask
 *	of ppoll(2) and the like
 * @altstack_sp: out: sigaltstack(2): ss_sp
 * @altstack_size: out: ss_size
 * @altstack_flags: out: ss_flags as set by the thread, without SS_ONSTACK
 * @pdeath_signal: out: PR_SET_PDEATHSIG
 * @clear_child_tid: out: set_tid_address(2)
 * @rseq: out: rseq(2): address of the area; 0 for none
 * @rseq_len: out: its length
 * @rseq_signature: out: its signature
 * @timer_slack: out: PR_GET_TIMERSLACK, in nanoseconds
 * @securebits: out: PR_GET_SECUREBITS
 * @tsc: out: PR_GET_TSC; 0 on architectures without it
 * @mce_kill: out: PR_MCE_KILL_GET
 * @sleep: out: CAIRN_SLEEP_*
 * @sleep_clock: out: CLOCK_* of its timeout
 * @landlock: out: 1 if Landlock restricts the thread other than the caller, else 0
 * @sleep_left: out: remaining nanoseconds; 0 if the timeout has passed
 * @sleep_args: out: arguments of the call, as in cairn_continue.args
 * @spec_store_bypass: out: what PR_GET_SPECULATION_CTRL returns for
 *	PR_SPEC_STORE_BYPASS, or -errno
 * @spec_indirect_branch: out: the same for PR_SPEC_INDIRECT_BRANCH
 * @spec_l1d_flush: out: the same for PR_SPEC_L1D_FLUSH
 * @rseq_slice: out: what PR_RSEQ_SLICE_EXTENSION returns for
 *	PR_RSEQ_SLICE_EXTENSION_GET
 * @cpuid: out: what arch_prctl(2) returns for ARCH_GET_CPUID; -EOPNOTSUPP on
 *	architectures without it
 * @dispatch: out: 1 if PR_SET_SYSCALL_USER_DISPATCH is on, else 0
 * @tls: out: number of segments set by set_thread_area(2)
 * @io_ports: out: 1 if ioperm(2) or iopl(2) granted access to ports, else 0
 * @core_cookie: out: 1 if PR_SCHED_CORE has set a cookie, else 0
 * @sem_undo: out: 1 if the thread has SEM_UNDO adjustments of semop(2), even if
 *	their sum is 0; else 0
 * @thread_keys: out: what KEYCTL_READ returns for KEY_SPEC_THREAD_KEYRING without a
 *	buffer: bytes of the list of its keys, or -ENOKEY; -EOPNOTSUPP without
 *	CONFIG_KEYS
 * @process_keys: out: the same for KEY_SPEC_PROCESS_KEYRING
 * @requested_keys: out: what KEYCTL_SET_REQKEY_KEYRING returns for
 *	KEY_REQKEY_DEFL_NO_CHANGE; -EOPNOTSUPP without CONFIG_KEYS
 * @reserved: out: zero
 */
struct cairn_thread {
	__u32 size;
	__s32 tid;
	__u32 state;
	__u32 stop_signal;
	__u64 sigmask;
	__u64 altstack_sp;
	__u64 altstack_size;
	__u32 altstack_flags;
	__u32 pdeath_signal;
	__u64 clear_child_tid;
	__u64 rseq;
	__u32 rseq_len;
	__u32 rseq_signature;
	__u64 timer_slack;
	__u32 securebits;
	__u32 tsc;
	__u32 mce_kill;
	__u32 sleep;
	__s32 sleep_clock;
	__u32 landlock;
	__u64 sleep_left;
	__u64 sleep_args[4];
	__s32 spec_store_bypass;
	__s32 spec_indirect_branch;
	__s32 spec_l1d_flush;
	__s32 rseq_slice;
	__s32 cpuid;
	__u32 dispatch;
	__u32 tls;
	__u32 io_ports;
	__u32 core_cookie;
	__u32 sem_undo;
	__s32 thread_keys;
	__s32 process_keys;
	__s32 requested_keys;
	__u32 reserved;
};

/*
 * CAIRN_IOC_GET_THREAD: fills in a struct cairn_thread. GET_REGSET, GET_PENDING and
 * GET_POLICY have the same errors:
 *
 * ESRCH	the session has not frozen such a thread, or it has exited
 * ESTALE	the thread was stopped by a signal or a tracer when it was frozen,
 *		and was resumed since: it executes no user code, but may have
 *		handled signals; what was read of it before is out of date
 */
#define CAIRN_IOC_GET_THREAD	_IO(CAIRN_IOC_TYPE, 0x12)

/**
 * struct cairn_regset - a register set, as PTRACE_GETREGSET stores it
 * @size: in: sizeof(struct cairn_regset)
 * @tid: in: the thread
 * @note: in: ELF note type (NT_PRSTATUS and so on)
 * @reserved: in: zero
 * @addr: in: address of the buffer
 * @len: in: its size; out: bytes of the set
 */
struct cairn_regset {
	__u32 size;
	__s32 tid;
	__u32 note;
	__u32 reserved;
	__u64 addr;
	__u64 len;
};

/*
 * CAIRN_IOC_GET_REGSET: takes a struct cairn_regset.
 *
 * EINVAL	this kernel has no such set
 * ENODEV	this machine has no such set, or the thread does not use it
 */
#define CAIRN_IOC_GET_REGSET	_IO(CAIRN_IOC_TYPE, 0x13)

/* sizeof(siginfo_t). */
#define CAIRN_SIGINFO_SIZE	128

/**
 * struct cairn_pending - pending signals, in the order of the queue
 * @size: in: sizeof(struct cairn_pending)
 * @tid: in: the thread
 * @shared: in: 0 for the queue of the thread, 1 for that of its process
 * @reserved: in: zero
 * @addr: in: address of the buffer, CAIRN_SIGINFO_SIZE bytes for each signal
 * @count: in: signals that it has room for; out: length of the queue, which may be
 *	more than was stored
 */
struct cairn_pending {
	__u32 size;
	__s32 tid;
	__u32 shared;
	__u32 reserved;
	__u64 addr;
	__u64 count;
};

/* CAIRN_IOC_GET_PENDING: takes a struct cairn_pending. */
#define CAIRN_IOC_GET_PENDING	_IO(CAIRN_IOC_TYPE, 0x14)

/* Number of resource limits. */
#define CAIRN_RLIMITS		16

/**
 * struct cairn_process - state that the threads of a process share
 * @size: in: sizeof(struct cairn_process)
 * @pid: in: the process, which the session has frozen
 * @brk: out: end of the heap
 * @lock_future: out: mlockall(2): 1 for MCL_FUTURE, 2 with MCL_ONFAULT, 0 for
 *	neither
 * @pkeys: out: allocated protection keys, bit n for key n
 * @dumpable: out: PR_GET_DUMPABLE
 * @thp_disable: out: PR_GET_THP_DISABLE
 * @subreaper: out: PR_GET_CHILD_SUBREAPER
 * @stop_report: out: signal of a stop that the parent has not waited for (WSTOPPED);
 *	0 for none
 * @real_value: out: ITIMER_REAL: remaining nanoseconds; 0 if it is not armed
 * @real_interval: out: its period in nanoseconds; 0 for one-shot
 * @virt_value: out: ITIMER_VIRTUAL, likewise
 * @virt_interval: out: its period
 * @prof_value: out: ITIMER_PROF, likewise
 * @prof_interval: out: its period
 * @rlim_cur: out: soft limits; all bits set for RLIM_INFINITY
 * @rlim_max: out: hard limits
 * @continue_report: out: 1 if the parent has not waited for its continuation
 *	(WCONTINUED), else 0
 * @membarrier: out: registrations for membarrier(2), as a mask of
 *	MEMBARRIER_CMD_REGISTER_*; -EOPNOTSUPP on kernels without membarrier(2)
 * @mdwe: out: what PR_GET_MDWE returns
 * @memory_merge: out: what PR_GET_MEMORY_MERGE returns
 * @ldt: out: size in bytes of the table of modify_ldt(2); -EOPNOTSUPP on kernels
 *	without it
 * @xcomp_error: out: what arch_prctl(2) returns for ARCH_GET_XCOMP_PERM: 0 or
 *	-errno; -EOPNOTSUPP on architectures without it
 * @untag_error: out: the same for ARCH_GET_UNTAG_MASK
 * @reserved: out: zero
 * @xcomp_perm: out: what ARCH_GET_XCOMP_PERM stores; 0 after an error
 * @untag_mask: out: what ARCH_GET_UNTAG_MASK stores; 0 after an error
 */
struct cairn_process {
	__u32 size;
	__s32 pid;
	__u64 brk;
	__u32 lock_future;
	__u32 pkeys;
	__u32 dumpable;
	__u32 thp_disable;
	__u32 subreaper;
	__u32 stop_report;
	__u64 real_value;
	__u64 real_interval;
	__u64 virt_value;
	__u64 virt_interval;
	__u64 prof_value;
	__u64 prof_interval;
	__u64 rlim_cur[CAIRN_RLIMITS];
	__u64 rlim_max[CAIRN_RLIMITS];
	__u32 continue_report;
	__s32 membarrier;
	__s32 mdwe;
	__s32 memory_merge;
	__s32 ldt;
	__s32 xcomp_error;
	__s32 untag_error;
	__u32 reserved;
	__u64 xcomp_perm;
	__u64 untag_mask;
};

/*
 * CAIRN_IOC_GET_PROCESS: fills in a struct cairn_process. GET_ACTIONS and GET_TIMER
 * have the same errors:
 *
 * ESRCH	the session has not frozen it, or it has exited
 * ESTALE	its group leader was resumed, as with GET_THREAD; or another of its
 *		threads, if that has exited
 */
#define CAIRN_IOC_GET_PROCESS	_IO(CAIRN_IOC_TYPE, 0x15)

/* The highest signal number. */
#define CAIRN_SIGNALS		64

/**
 * struct cairn_action - the action of one signal, as set by rt_sigaction(2)
 * @handler: address, SIG_DFL or SIG_IGN
 * @flags: SA_*
 * @restorer: return address of the handler; 0 on architectures without it
 * @mask: signals blocked while it runs, bit n-1 for signal n
 */
struct cairn_action {
	__u64 handler;
	__u64 flags;
	__u64 restorer;
	__u64 mask;
};

/**
 * struct cairn_actions - the actions of all signals
 * @size: in: sizeof(struct cairn_actions)
 * @pid: in: the process
 * @addr: in: address of an array of CAIRN_SIGNALS struct cairn_action
 */
struct cairn_actions {
	__u32 size;
	__s32 pid;
	__u64 addr;
};

/* CAIRN_IOC_GET_ACTIONS: takes a struct cairn_actions. */
#define CAIRN_IOC_GET_ACTIONS	_IO(CAIRN_IOC_TYPE, 0x16)

/**
 * struct cairn_timer - a POSIX timer, as timer_gettime(2) reports it
 * @size: in: sizeof(struct cairn_timer)
 * @pid: in: the process
 * @id: in: the timer's id
 * @clock: out: CLOCK_*
 * @value: out: remaining nanoseconds; 0 if it is not armed
 * @interval: out: its period in nanoseconds; 0 for one-shot
 */
struct cairn_timer {
	__u32 size;
	__s32 pid;
	__s32 id;
	__s32 clock;
	__u64 value;
	__u64 interval;
};

/*
 * CAIRN_IOC_GET_TIMER: takes a struct cairn_timer.
 *
 * ENOENT	no such timer
 * EOPNOTSUPP	the module does not support its clock: CLOCK_*_ALARM, or the CPU
 *		time of another process
 */
#define CAIRN_IOC_GET_TIMER	_IO(CAIRN_IOC_TYPE, 0x17)

/* Limits of one request, in bytes and in ranges. */
#define CAIRN_SAVE_MAX		0x100000
#define CAIRN_SAVE_RANGES	256

/**
 * struct cairn_range - a range of memory to save
 * @from: its first address; page-aligned
 * @len: its length in bytes; page-aligned
 * @flags: CAIRN_RANGE_*
 */
struct cairn_range {
	__u64 from;
	__u32 len;
	__u32 flags;
};

/* Save pages of zeros, too, which are skipped otherwise. */
#define CAIRN_RANGE_ZEROS	1

/**
 * struct cairn_save - write memory of a process to a file
 * @size: in: sizeof(struct cairn_save)
 * @pid: in: the process, which the session has frozen
 * @fd: in: descriptor of the file
 * @count: in: number of ranges
 * @ranges: in: address of an array of struct cairn_range
 * @saved: in: address of a bitmap in 64-bit words, with a bit for each page of all
 *	ranges in their order: bit n % 64 of word n / 64 is set if page n was saved
 * @offset: out: offset of the data in the file
 * @len: out: bytes written
 * @sum: out: their checksum, XXH64 with seed 0
 *
 * The saved pages are contiguous in the file, at the file position, which advances
 * by @len. Concurrent requests write to different places. The session is not locked
 * while a request copies and writes.
 */
struct cairn_save {
	__u32 size;
	__s32 pid;
	__s32 fd;
	__u32 count;
	__u64 ranges;
	__u64 saved;
	__u64 offset;
	__u64 len;
	__u64 sum;
};

/*
 * CAIRN_IOC_SAVE: takes a struct cairn_save. Pages without read permission are saved,
 * too (FOLL_FORCE). After an error of the write, the contents of the file between
 * the old and the new position are undefined.
 *
 * ESRCH	the session has not frozen the process, or it has exited
 * ESTALE	a thread of it was resumed, as with GET_THREAD: its stack may have
 *		changed
 * EBADF	no such descriptor, or not open for writing
 * EINVAL	not a regular file, or O_APPEND; a range that is not page-aligned,
 *		unknown flag, more than CAIRN_SAVE_MAX bytes or CAIRN_SAVE_RANGES
 * EFAULT	part of the memory is not mapped
 *		and the errors of write(2)
 */
#define CAIRN_IOC_SAVE		_IO(CAIRN_IOC_TYPE, 0x19)

/**
 * struct cairn_capability - get the capability to restart processes
 * @size: in: sizeof(struct cairn_capability)
 * @reserved: in: zero
 */
struct cairn_capability {
	__u32 size;
	__u32 reserved;
};

/*
 * CAIRN_IOC_GET_CAPABILITY: takes a struct cairn_capability. Gives the calling thread
 * CAP_CHECKPOINT_RESTORE in its own user namespace, permitted and effective: a thread
 * with it may choose the PIDs of its children, follow /proc/PID/map_files of
 * processes that it may trace, and change its /proc/self/exe (capabilities(7)). It
 * gives access to no process and no file. As after every gain of capabilities, the
 * process is not dumpable.
 *
 * EPERM	the thread has no_new_privs, or lacks the capability in its bounding
 *		set
 */
#define CAIRN_IOC_GET_CAPABILITY _IO(CAIRN_IOC_TYPE, 0x1a)

/* The longest sleep, in nanoseconds: 146 years. */
#define CAIRN_SLEEP_MAX		0x4000000000000000ULL

/**
 * struct cairn_continue - a sleep that a thread is to continue
 * @size: in: sizeof(struct cairn_continue)
 * @tid: in: the thread, in a ptrace stop, traced by the caller
 * @sleep: in: CAIRN_SLEEP_NANO, CAIRN_SLEEP_POLL, CAIRN_SLEEP_FUTEX or
 *	CAIRN_SLEEP_CALL
 * @clock: in: CLOCK_*, as in cairn_thread.sleep_clock
 * @left: in: remaining nanoseconds, CAIRN_SLEEP_MAX at most
 * @args: in: arguments of the call. NANO: the address for the remaining time, or 0.
 *	POLL: the address of the array, and its length. FUTEX: the address, the
 *	value, 1 for a shared futex or 0, and the bitset. CALL: zeros.
 * @reserved: in: zero
 *
 * The thread continues the sleep if the next system call that it makes is
 * restart_syscall(2). With CALL, its registers must be those before the instruction
 * of one of the calls above, or those of an interrupted one that the kernel is about
 * to restart; it makes the call before it returns to user space, and the call times
 * out after @left.
 */
struct cairn_continue {
	__u32 size;
	__s32 tid;
	__u32 sleep;
	__s32 clock;
	__u64 left;
	__u64 args[4];
	__u64 reserved;
};

/*
 * CAIRN_IOC_CONTINUE: takes a struct cairn_continue.
 *
 * ESRCH	no such thread
 * EPERM	the caller is not its tracer, which is a thread and not a process
 * EAGAIN	the thread is not in a ptrace stop
 * EINVAL	@sleep, @clock, @left or @args is not valid
 */
#define CAIRN_IOC_CONTINUE	_IO(CAIRN_IOC_TYPE, 0x18)

/* Words of a nodemask: bit n % 64 of word n / 64 for node n. */
#define CAIRN_NODE_WORDS	16

/**
 * struct cairn_policy - a memory policy, as get_mempolicy(2) reports it
 * @size: in: sizeof(struct cairn_policy)
 * @tid: in: the thread
 * @flags: in: CAIRN_POLICY_*
 * @mode: out: MPOL_*, with MPOL_F_*
 * @addr: in: the address with CAIRN_POLICY_ADDR, else 0
 * @nodes: out: the nodemask; with MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES as
 *	it was set
 */
struct cairn_policy {
	__u32 size;
	__s32 tid;
	__u32 flags;
	__u32 mode;
	__u64 addr;
	__u64 nodes[CAIRN_NODE_WORDS];
};

/* The policy of the memory at an address, instead of that of the thread. */
#define CAIRN_POLICY_ADDR	1

/*
 * CAIRN_IOC_GET_POLICY: takes a struct cairn_policy.
 *
 * EINVAL	unknown flag; an address without CAIRN_POLICY_ADDR
 * ENOENT	nothing is mapped at the address
 * EOPNOTSUPP	this kernel has no memory policies (CONFIG_NUMA)
 */
#define CAIRN_IOC_GET_POLICY	_IO(CAIRN_IOC_TYPE, 0x1b)

#endif /* _UAPI_CAIRN_H */
