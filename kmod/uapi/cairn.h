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

#include <linux/const.h>
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
#define CAIRN_FEATURE_ACCESS	_BITULL(0)

/*
 * Threads can be held, and looked into while they are: HOLD to TIMER below.
 */
#define CAIRN_FEATURE_HOLD	_BITULL(1)

/* A thread can go on with a sleep for the time that was left: CONTINUE. */
#define CAIRN_FEATURE_CONTINUE	_BITULL(2)

/* Ordinary users can restart what was theirs: RESTORER. */
#define CAIRN_FEATURE_RESTORER	_BITULL(3)

/* Memory goes from where it is into a file: SAVE. */
#define CAIRN_FEATURE_SAVE	_BITULL(4)

/*
 * What threads and processes have set for themselves: the fields of struct
 * cairn_thread from @spec_store_bypass on, those of struct cairn_process from
 * @continue_report on, and POLICY.
 */
#define CAIRN_FEATURE_SETTINGS	_BITULL(5)

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

/**
 * struct cairn_hold - stop every thread of a process, without a tracer
 * @size: in: sizeof(struct cairn_hold)
 * @pid: in: the process, as the caller's PID namespace counts
 * @flags: in: CAIRN_HOLD_*
 * @timeout_ms: in: how long to wait for threads in a sleep that nothing
 *	interrupts; a minute at most
 * @threads: out: how many threads of the process the session holds now
 * @reserved: in: zero
 *
 * A session is an open file of the device. A thread that it holds executes
 * nothing of its program until the session lets it go: by CAIRN_IOC_RELEASE,
 * or because the file is closed, whatever the reason. Of what it was doing it
 * notices as much as of a signal that is ignored; calls that end with EINTR
 * after such a signal are made again. A signal that ends a process ends it,
 * others wait for the release. Threads that are
 * stopped, by a signal or a tracer, stay so, and are held when they go on.
 */
struct cairn_hold {
	__u32 size;
	__s32 pid;
	__u32 flags;
	__u32 timeout_ms;
	__u32 threads;
	__u32 reserved;
};

/* Hold also what a tracer traces. The tracer is not told. */
#define CAIRN_HOLD_TRACED	1

/*
 * CAIRN_IOC_HOLD: takes a struct cairn_hold. After an error nothing of the
 * process is held.
 *
 * ESRCH	there is no such process
 * EPERM	the caller may not attach to each of its threads as ptrace does
 * EDEADLK	it is the caller's own process
 * EINVAL	a thread that is not a process, an unknown flag
 * EALREADY	the session holds it
 * EBUSY	a thread of it is traced, and CAIRN_HOLD_TRACED is not given
 * EOPNOTSUPP	a kernel thread, or a process for which the kernel works in
 *		threads of its own (io_uring)
 * ETIMEDOUT	a thread of it does not stop
 * EINTR	the caller was killed
 */
#define CAIRN_IOC_HOLD		_IO(CAIRN_IOC_TYPE, 0x10)

/**
 * struct cairn_release - let a process go
 * @size: in: sizeof(struct cairn_release)
 * @pid: in: the process; 0 for all that the session holds
 */
struct cairn_release {
	__u32 size;
	__s32 pid;
};

/*
 * CAIRN_IOC_RELEASE: takes a struct cairn_release. ESRCH: the session does not
 * hold it.
 */
#define CAIRN_IOC_RELEASE	_IO(CAIRN_IOC_TYPE, 0x11)

/* Where a thread is: cairn_thread.state */
#define CAIRN_STATE_HELD	0	/* in the module */
#define CAIRN_STATE_STOPPED	1	/* stopped by a signal */
#define CAIRN_STATE_TRACED	2	/* stopped by a tracer */

/* What a thread was interrupted in, with time left: cairn_thread.sleep */
#define CAIRN_SLEEP_NONE	0	/* nothing of the kind */
#define CAIRN_SLEEP_NANO	1	/* nanosleep(2), clock_nanosleep(2) */
#define CAIRN_SLEEP_POLL	2	/* poll(2) */
#define CAIRN_SLEEP_FUTEX	3	/* futex(2) */
#define CAIRN_SLEEP_OTHER	4	/* one that the module does not know */
#define CAIRN_SLEEP_CALL	5	/* what is about to be made: rt_sigtimedwait(2),
					 * epoll_wait(2), semtimedop(2)
					 */

/**
 * struct cairn_thread - what is a thread's own
 * @size: in: sizeof(struct cairn_thread)
 * @tid: in: the thread, of a process that the session holds
 * @state: out: CAIRN_STATE_*
 * @stop_signal: out: the signal that stopped it; 0 when none did
 * @sigmask: out: signals blocked, bit n-1 for signal n; where a call has set
 *	others for its time, those before it
 * @altstack_sp: out: sigaltstack(2)
 * @altstack_size: out: the same
 * @altstack_flags: out: SS_* as the thread set them, without SS_ONSTACK
 * @pdeath_signal: out: PR_SET_PDEATHSIG
 * @clear_child_tid: out: set_tid_address(2)
 * @rseq: out: rseq(2); 0 for none
 * @rseq_len: out: the same
 * @rseq_signature: out: the same
 * @timer_slack: out: PR_GET_TIMERSLACK, nanoseconds
 * @securebits: out: PR_GET_SECUREBITS
 * @tsc: out: PR_GET_TSC; 0 where the architecture has no such setting
 * @mce_kill: out: PR_MCE_KILL_GET
 * @sleep: out: CAIRN_SLEEP_*
 * @sleep_clock: out: which clock the sleep's end is told by, CLOCK_*
 * @reserved: zero
 * @sleep_left: out: nanoseconds to its end; 0 when that is over
 * @sleep_args: out: of the call that sleeps, as in cairn_continue.args
 * @spec_store_bypass: out: what PR_GET_SPECULATION_CTRL returns for
 *	PR_SPEC_STORE_BYPASS, a number or an error as -errno
 * @spec_indirect_branch: out: the same for PR_SPEC_INDIRECT_BRANCH
 * @spec_l1d_flush: out: the same for PR_SPEC_L1D_FLUSH
 * @rseq_slice: out: what PR_RSEQ_SLICE_EXTENSION returns for
 *	PR_RSEQ_SLICE_EXTENSION_GET
 * @cpuid: out: what arch_prctl(2) returns for ARCH_GET_CPUID; -EOPNOTSUPP where
 *	the architecture has no such call
 * @dispatch: out: 1 with PR_SET_SYSCALL_USER_DISPATCH, else 0
 * @tls: out: how many segments set_thread_area(2) has set
 * @io_ports: out: 1 with ports of ioperm(2), or a level of iopl(2), else 0
 * @core_cookie: out: 1 with a cookie of PR_SCHED_CORE, else 0
 * @sem_undo: out: 1 when semop(2) has something to undo at its end, in some
 *	semaphore, be it 0; else 0
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
	__u32 reserved;
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
};

/*
 * CAIRN_IOC_THREAD: fills a struct cairn_thread. The same with REGSET, PENDING
 * and POLICY:
 *
 * ESRCH	the session does not hold such a thread, or it has ended
 * ESTALE	it was stopped by a signal or a tracer when it was held, and has
 *		gone on since: it executes nothing of its program, but may have
 *		taken signals; what was told of it before is not what it is now
 */
#define CAIRN_IOC_THREAD	_IO(CAIRN_IOC_TYPE, 0x12)

/**
 * struct cairn_regset - a register set, as PTRACE_GETREGSET has it
 * @size: in: sizeof(struct cairn_regset)
 * @tid: in: the thread
 * @note: in: ELF note type (NT_PRSTATUS and so on)
 * @reserved: in: zero
 * @addr: in: where it goes
 * @len: in: room there; out: bytes of the set
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
 * CAIRN_IOC_REGSET: takes a struct cairn_regset.
 *
 * EINVAL	this kernel has no such set
 * ENODEV	this machine has none, or the thread does not use it
 */
#define CAIRN_IOC_REGSET	_IO(CAIRN_IOC_TYPE, 0x13)

/* Bytes of a siginfo_t. */
#define CAIRN_SIGINFO_SIZE	128

/**
 * struct cairn_pending - queued signals in their order
 * @size: in: sizeof(struct cairn_pending)
 * @tid: in: the thread
 * @shared: in: 0 for the queue of the thread, 1 for that of its process
 * @reserved: in: zero
 * @addr: in: where they go, CAIRN_SIGINFO_SIZE bytes each
 * @count: in: for how many there is room; out: how many there are, of which the
 *	first have been stored
 */
struct cairn_pending {
	__u32 size;
	__s32 tid;
	__u32 shared;
	__u32 reserved;
	__u64 addr;
	__u64 count;
};

/* CAIRN_IOC_PENDING: takes a struct cairn_pending. */
#define CAIRN_IOC_PENDING	_IO(CAIRN_IOC_TYPE, 0x14)

/* Resource limits that there are. */
#define CAIRN_RLIMITS		16

/**
 * struct cairn_process - what the threads of a process share
 * @size: in: sizeof(struct cairn_process)
 * @pid: in: the process, which the session holds
 * @brk: out: the end of the heap
 * @lock_future: out: mlockall(2): 1 for MCL_FUTURE, 2 with MCL_ONFAULT, 0 for
 *	neither
 * @pkeys: out: protection keys that the process has allocated, bit n for key n
 * @dumpable: out: PR_GET_DUMPABLE
 * @thp_disable: out: PR_GET_THP_DISABLE
 * @subreaper: out: PR_GET_CHILD_SUBREAPER
 * @stop_report: out: the signal of a stop that its parent has not waited for;
 *	0 for none
 * @real_value: out: nanoseconds until ITIMER_REAL fires; 0 when it is not armed
 * @real_interval: out: nanoseconds from then on; 0 for once
 * @virt_value: out: ITIMER_VIRTUAL
 * @virt_interval: out: the same
 * @prof_value: out: ITIMER_PROF
 * @prof_interval: out: the same
 * @rlim_cur: out: soft limits; all bits set for none
 * @rlim_max: out: hard limits
 * @continue_report: out: 1 when its parent has not waited for it to have gone on
 *	after a stop (WCONTINUED), else 0
 * @membarrier: out: for which barriers of membarrier(2) it is registered: the
 *	commands that registered, on kernels that do not tell, too; -EOPNOTSUPP
 *	where there is no such call
 * @mdwe: out: what PR_GET_MDWE returns
 * @memory_merge: out: what PR_GET_MEMORY_MERGE returns
 * @ldt: out: bytes of the table of modify_ldt(2); -EOPNOTSUPP where there is no
 *	such call
 * @xcomp_error: out: what arch_prctl(2) returns for ARCH_GET_XCOMP_PERM: 0 or
 *	-errno; -EOPNOTSUPP where the architecture has no such call
 * @untag_error: out: the same for ARCH_GET_UNTAG_MASK
 * @reserved: zero
 * @xcomp_perm: out: what it stores; 0 after an error
 * @untag_mask: out: the same
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
 * CAIRN_IOC_PROCESS: fills a struct cairn_process. The same with ACTIONS and
 * TIMER:
 *
 * ESRCH	the session does not hold it, or it has ended
 * ESTALE	its first thread has gone on, as with THREAD
 */
#define CAIRN_IOC_PROCESS	_IO(CAIRN_IOC_TYPE, 0x15)

/* Signals are numbered from 1 to this. */
#define CAIRN_SIGNALS		64

/**
 * struct cairn_action - an element of what CAIRN_IOC_ACTIONS stores
 * @handler: address, SIG_DFL or SIG_IGN
 * @flags: SA_*
 * @restorer: where the handler returns to; 0 where the architecture has none
 * @mask: signals blocked meanwhile, bit n-1 for signal n
 */
struct cairn_action {
	__u64 handler;
	__u64 flags;
	__u64 restorer;
	__u64 mask;
};

/**
 * struct cairn_actions - the actions of signals
 * @size: in: sizeof(struct cairn_actions)
 * @pid: in: the process
 * @addr: in: where they go, an array of CAIRN_SIGNALS struct cairn_action
 */
struct cairn_actions {
	__u32 size;
	__s32 pid;
	__u64 addr;
};

/* CAIRN_IOC_ACTIONS: takes a struct cairn_actions. */
#define CAIRN_IOC_ACTIONS	_IO(CAIRN_IOC_TYPE, 0x16)

/**
 * struct cairn_timer - the setting of a timer of timer_create(2)
 * @size: in: sizeof(struct cairn_timer)
 * @pid: in: the process
 * @id: in: the timer's id
 * @clock: out: CLOCK_*
 * @value: out: nanoseconds until it fires; 0 when it is not armed
 * @interval: out: nanoseconds from then on; 0 for once
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
 * CAIRN_IOC_TIMER: takes a struct cairn_timer.
 *
 * ENOENT	there is no such timer
 * EOPNOTSUPP	its clock is one that the module cannot read: one that wakes the
 *		machine, or the processor time of another process
 */
#define CAIRN_IOC_TIMER		_IO(CAIRN_IOC_TYPE, 0x17)

/* What one request may save, in bytes and in ranges. */
#define CAIRN_SAVE_MAX		0x100000
#define CAIRN_SAVE_RANGES	256

/**
 * struct cairn_range - memory that is to be saved
 * @from: its address; whole pages
 * @len: its bytes; whole pages
 * @flags: CAIRN_RANGE_*
 */
struct cairn_range {
	__u64 from;
	__u32 len;
	__u32 flags;
};

/* Pages of zeros, too, which are left out otherwise. */
#define CAIRN_RANGE_ZEROS	1

/**
 * struct cairn_save - memory of a process, into a file
 * @size: in: sizeof(struct cairn_save)
 * @pid: in: the process, which the session holds
 * @fd: in: an open file
 * @count: in: how many ranges
 * @ranges: in: address of an array of struct cairn_range
 * @saved: in: address for a bit for each page of all ranges, in their order,
 *	in words of 64: bit n % 64 of word n / 64 is set when page n was saved
 * @offset: out: where in the file
 * @len: out: bytes saved
 * @sum: out: their checksum, XXH64 with seed 0
 *
 * What is saved of all ranges goes into one piece of the file, to where the
 * file is positioned, which moves on by as much. Many can do so at a time, and
 * each gets a place of its own. The session is not kept busy meanwhile.
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
 * CAIRN_IOC_SAVE: takes a struct cairn_save. Saves also what the process itself
 * may not read, as a tracer can. What cannot be written whole leaves a piece of
 * the file that says nothing.
 *
 * ESRCH	the session does not hold the process, or it has ended
 * ESTALE	a thread of it has gone on, as with THREAD: its stack may have
 *		changed
 * EBADF	no such descriptor, or not open for writing
 * EINVAL	no regular file, or one that is only appended to; a range that is
 *		not whole pages, an unknown flag, more than CAIRN_SAVE_MAX
 * EFAULT	not all of the memory is there
 *		and all that write(2) can say of a file
 */
#define CAIRN_IOC_SAVE		_IO(CAIRN_IOC_TYPE, 0x19)

/**
 * struct cairn_restorer - become one who may restart processes
 * @size: in: sizeof(struct cairn_restorer)
 * @reserved: in: zero
 */
struct cairn_restorer {
	__u32 size;
	__u32 reserved;
};

/*
 * CAIRN_IOC_RESTORER: takes a struct cairn_restorer. Gives the calling thread
 * CAP_CHECKPOINT_RESTORE in its own user namespace, permitted and effective:
 * with it the kernel lets a thread choose the PIDs of its children, follow
 * /proc/PID/map_files of processes that it may trace, and change what
 * /proc/self/exe leads to (capabilities(7)). It opens no process and no file.
 * As with every gain of capabilities, the process is not dumpable afterwards.
 *
 * EPERM	the thread has no_new_privs, or not that capability in its bounding
 *		set
 */
#define CAIRN_IOC_RESTORER	_IO(CAIRN_IOC_TYPE, 0x1a)

/* No sleep is longer, in nanoseconds: 146 years. */
#define CAIRN_SLEEP_MAX		0x4000000000000000ULL

/**
 * struct cairn_continue - a sleep for a thread to go on with
 * @size: in: sizeof(struct cairn_continue)
 * @tid: in: the thread, which has to be stopped by the caller as its tracer
 * @sleep: in: CAIRN_SLEEP_NANO, CAIRN_SLEEP_POLL, CAIRN_SLEEP_FUTEX or
 *	CAIRN_SLEEP_CALL
 * @clock: in: CLOCK_*, as in cairn_thread.sleep_clock
 * @left: in: nanoseconds until it is over, CAIRN_SLEEP_MAX at most
 * @args: in: of the call that slept. NANO: the address for the time left when a
 *	signal ends it, or 0. POLL: the addresses of the array, and its length.
 *	FUTEX: the address, the value, 1 when it is shared between processes and 0
 *	else, and the bitset. CALL: zeros.
 * @reserved: in: zero
 *
 * The thread goes on with it when the next thing that it does is to call
 * restart_syscall(2); with CALL, when it is to make a call of those above, as
 * its registers show it: with its instruction and its number. It then makes that
 * call before it is back in its program. Whatever it does before makes it forget.
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
 * ESRCH	there is no such thread
 * EPERM	the caller is not its tracer, which is a thread and not a process
 * EAGAIN	it is not stopped
 * EINVAL	no such sleep
 */
#define CAIRN_IOC_CONTINUE	_IO(CAIRN_IOC_TYPE, 0x18)

/* Words of a set of memory nodes, bit n%64 of word n/64 for node n. */
#define CAIRN_NODE_WORDS	16

/**
 * struct cairn_policy - a memory policy, as get_mempolicy(2) tells it
 * @size: in: sizeof(struct cairn_policy)
 * @tid: in: the thread
 * @flags: in: CAIRN_POLICY_*
 * @mode: out: MPOL_*, with MPOL_F_*_NODES and the like
 * @addr: in: with CAIRN_POLICY_ADDR, where; else 0
 * @nodes: out: the set of nodes that it was given, or that it comes to
 */
struct cairn_policy {
	__u32 size;
	__s32 tid;
	__u32 flags;
	__u32 mode;
	__u64 addr;
	__u64 nodes[CAIRN_NODE_WORDS];
};

/* That of memory at an address of the thread's, instead of its own. */
#define CAIRN_POLICY_ADDR	1

/*
 * CAIRN_IOC_POLICY: takes a struct cairn_policy.
 *
 * EINVAL	an unknown flag, an address without CAIRN_POLICY_ADDR
 * ENOENT	nothing is mapped there
 * EOPNOTSUPP	this kernel has no memory policies
 */
#define CAIRN_IOC_POLICY	_IO(CAIRN_IOC_TYPE, 0x1b)

#endif /* _UAPI_CAIRN_H */
