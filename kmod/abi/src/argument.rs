//! The structures of the ABI.
//!
//! # Safety
//! The only `unsafe` here marks structures as arguments of ioctls.
#![allow(unsafe_code)]

use crate::{ABI_VERSION, FEATURES, NODE_WORDS, RLIMITS};

/// An argument of an ioctl. All zeros are a valid value.
///
/// # Safety
/// `repr(C)`, of integers and arrays of integers, without padding, with the size first.
pub(crate) unsafe trait Argument: Copy {}

/// `struct cairn_info`: version and features of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Info {
    /// Bytes of this structure.
    pub size: u32,
    /// `CAIRN_ABI_VERSION` of the module.
    pub abi_version: u32,
    /// `FEATURE_*`
    pub features: u64,
    /// Version of the module, NUL-terminated.
    pub version: [u8; 32],
    /// SHA-256 of the module's sources in hexadecimal digits, NUL-terminated.
    pub source: [u8; 72],
}

// SAFETY: integers and arrays of bytes, without padding.
unsafe impl Argument for Info {}

impl Info {
    /// The version of the module.
    pub fn version(&self) -> String {
        text(&self.version)
    }

    /// The digest of its sources; empty if the build did not set it.
    pub fn source(&self) -> String {
        text(&self.source)
    }

    /// The names of its features; an unknown feature is printed as its bit.
    pub fn features(&self) -> Vec<String> {
        let bits = (0..u64::BITS).map(|bit| 1 << bit).filter(|bit| self.features & bit != 0);
        bits.map(|bit| match FEATURES.iter().find(|(known, _)| *known == bit) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("{bit:#x}"),
        })
        .collect()
    }

    /// Whether the module's ABI is that of this crate.
    pub fn is_spoken(&self) -> bool {
        self.abi_version == ABI_VERSION
    }
}

/// The text before the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Declares the arguments of ioctls. Fields are in/out as the header says.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            #[repr(C)]
            pub struct $name {
                /// Bytes of this structure.
                pub size: u32,
                $($(#[$field_doc])* pub $field: $type,)*
            }
            // SAFETY: integers only, and `cargo xtask header-check` rejects padding.
            unsafe impl Argument for $name {}
        )*
    };
}

arguments! {
    /// `struct cairn_freeze`: stop every thread of a process.
    Freeze {
        /// PID of the process.
        pid: i32,
        /// `FREEZE_*`
        flags: u32,
        /// How long to wait for threads in uninterruptible sleep.
        timeout_ms: u32,
        /// Number of threads frozen, set by the module.
        threads: u32,
        /// 0
        reserved: u32,
    }
    /// `struct cairn_thaw`: let a frozen process run again.
    Thaw {
        /// PID of the process; 0 for all of the session.
        pid: i32,
    }
    /// `struct cairn_thread`: state of one thread.
    Thread {
        /// TID of the thread.
        tid: i32,
        /// `STATE_*`
        state: u32,
        /// Signal that stopped the thread; 0 for none.
        stop_signal: u32,
        /// Blocked signals, bit n-1 for signal n.
        sigmask: u64,
        /// Alternate signal stack: lowest address.
        altstack_sp: u64,
        /// Alternate signal stack: size.
        altstack_size: u64,
        /// Alternate signal stack: `SS_*`.
        altstack_flags: u32,
        /// Parent-death signal.
        pdeath_signal: u32,
        /// `set_tid_address(2)`
        clear_child_tid: u64,
        /// Restartable sequences: address of the area; 0 for none.
        rseq: u64,
        /// Restartable sequences: length of the area.
        rseq_len: u32,
        /// Restartable sequences: signature.
        rseq_signature: u32,
        /// `PR_GET_TIMERSLACK`, in nanoseconds.
        timer_slack: u64,
        /// `SECBIT_*`
        securebits: u32,
        /// `PR_GET_TSC`; 0 on architectures without it.
        tsc: u32,
        /// `PR_MCE_KILL_GET`
        mce_kill: u32,
        /// `SLEEP_*`
        sleep: u32,
        /// Clock of the sleep's timeout.
        sleep_clock: i32,
        /// 1 if Landlock restricts the thread other than the caller.
        landlock: u32,
        /// Remaining nanoseconds of the sleep.
        sleep_left: u64,
        /// Arguments of the call, as in [`Continue`].
        sleep_args: [u64; 4],
        /// `PR_GET_SPECULATION_CTRL` for `PR_SPEC_STORE_BYPASS`: result or -errno.
        spec_store_bypass: i32,
        /// The same for `PR_SPEC_INDIRECT_BRANCH`.
        spec_indirect_branch: i32,
        /// The same for `PR_SPEC_L1D_FLUSH`.
        spec_l1d_flush: i32,
        /// `PR_RSEQ_SLICE_EXTENSION_GET`: result or -errno.
        rseq_slice: i32,
        /// `ARCH_GET_CPUID`: result; -EOPNOTSUPP on architectures without it.
        cpuid: i32,
        /// 1 if `PR_SET_SYSCALL_USER_DISPATCH` is on.
        dispatch: u32,
        /// Number of segments set by set_thread_area(2).
        tls: u32,
        /// 1 if ioperm(2) or iopl(2) granted access to ports.
        io_ports: u32,
        /// 1 if `PR_SCHED_CORE` has set a cookie.
        core_cookie: u32,
        /// 1 if the thread has `SEM_UNDO` adjustments.
        sem_undo: u32,
        /// `KEYCTL_READ` of the thread keyring: result or -errno.
        thread_keys: i32,
        /// The same of the process keyring.
        process_keys: i32,
        /// `KEYCTL_SET_REQKEY_KEYRING` without a change: result or -errno.
        requested_keys: i32,
        /// 0
        reserved: u32,
    }
    /// `struct cairn_regset`: a register set.
    Regset {
        /// TID of the thread.
        tid: i32,
        /// ELF note type.
        note: u32,
        /// 0
        reserved: u32,
        /// Address of the buffer.
        addr: u64,
        /// Size of the buffer, then bytes of the set.
        len: u64,
    }
    /// `struct cairn_pending`: pending signals.
    Pending {
        /// TID of the thread.
        tid: i32,
        /// 1 for the queue of the process.
        shared: u32,
        /// 0
        reserved: u32,
        /// Address of the buffer.
        addr: u64,
        /// Signals that the buffer has room for, then length of the queue.
        count: u64,
    }
    /// `struct cairn_process`: state that the threads of a process share.
    Process {
        /// PID of the process.
        pid: i32,
        /// End of the heap.
        brk: u64,
        /// 1 for `MCL_FUTURE`, 2 with `MCL_ONFAULT`.
        lock_future: u32,
        /// Allocated protection keys, bit n for key n.
        pkeys: u32,
        /// `PR_GET_DUMPABLE`
        dumpable: u32,
        /// `PR_GET_THP_DISABLE`
        thp_disable: u32,
        /// `PR_GET_CHILD_SUBREAPER`
        subreaper: u32,
        /// Signal of a stop that the parent has not waited for; 0 for none.
        stop_report: u32,
        /// `ITIMER_REAL`: remaining nanoseconds; 0 if it is not armed.
        real_value: u64,
        /// `ITIMER_REAL`: period in nanoseconds.
        real_interval: u64,
        /// `ITIMER_VIRTUAL`: remaining nanoseconds.
        virt_value: u64,
        /// `ITIMER_VIRTUAL`: period.
        virt_interval: u64,
        /// `ITIMER_PROF`: remaining nanoseconds.
        prof_value: u64,
        /// `ITIMER_PROF`: period.
        prof_interval: u64,
        /// Soft limits.
        rlim_cur: [u64; RLIMITS],
        /// Hard limits.
        rlim_max: [u64; RLIMITS],
        /// 1 if the parent has not waited for its continuation.
        continue_report: u32,
        /// Registrations for membarrier(2), as `MEMBARRIER_CMD_REGISTER_*`; -EOPNOTSUPP on kernels
        /// without membarrier(2).
        membarrier: i32,
        /// `PR_GET_MDWE`: result or -errno.
        mdwe: i32,
        /// `PR_GET_MEMORY_MERGE`: result or -errno.
        memory_merge: i32,
        /// Size of the table of modify_ldt(2); -EOPNOTSUPP on kernels without it.
        ldt: i32,
        /// `ARCH_GET_XCOMP_PERM`: 0 or -errno.
        xcomp_error: i32,
        /// `ARCH_GET_UNTAG_MASK`: 0 or -errno.
        untag_error: i32,
        /// 0
        reserved: u32,
        /// `ARCH_GET_XCOMP_PERM`: the value stored.
        xcomp_perm: u64,
        /// `ARCH_GET_UNTAG_MASK`: the value stored.
        untag_mask: u64,
    }
    /// `struct cairn_actions`: the actions of all signals.
    Actions {
        /// PID of the process.
        pid: i32,
        /// Address of an array of [`SIGNALS`](crate::SIGNALS) [`Action`]s.
        addr: u64,
    }
    /// `struct cairn_timer`: a POSIX timer.
    Timer {
        /// PID of the process.
        pid: i32,
        /// Id of the timer.
        id: i32,
        /// `CLOCK_*`
        clock: i32,
        /// Remaining nanoseconds; 0 if it is not armed.
        value: u64,
        /// Period in nanoseconds.
        interval: u64,
    }
    /// `struct cairn_save`: write memory of a process to a file.
    Save {
        /// PID of the process.
        pid: i32,
        /// Descriptor of the file.
        fd: i32,
        /// Number of ranges.
        count: u32,
        /// Address of an array of [`Range`]s.
        ranges: u64,
        /// Address of a bitmap with a bit for each page.
        saved: u64,
        /// Offset of the data in the file.
        offset: u64,
        /// Bytes written.
        len: u64,
        /// Their XXH64 checksum.
        sum: u64,
    }
    /// `struct cairn_capability`: get the capability to restart processes.
    Capability {
        /// 0
        reserved: u32,
    }
    /// `struct cairn_continue`: a sleep that a thread is to continue.
    Continue {
        /// TID of the thread.
        tid: i32,
        /// `SLEEP_*`
        sleep: u32,
        /// `CLOCK_*`
        clock: i32,
        /// Remaining nanoseconds.
        left: u64,
        /// Arguments of the call, see the header.
        args: [u64; 4],
        /// 0
        reserved: u64,
    }
    /// `struct cairn_policy`: a memory policy.
    Policy {
        /// TID of the thread.
        tid: i32,
        /// `POLICY_*`
        flags: u32,
        /// `MPOL_*` with `MPOL_F_*`.
        mode: u32,
        /// Address with [`POLICY_ADDR`](crate::POLICY_ADDR), else 0.
        addr: u64,
        /// Nodemask, bit n % 64 of word n / 64 for node n.
        nodes: [u64; NODE_WORDS],
    }
}

/// `struct cairn_action`: the action of one signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Action {
    /// Address, `SIG_DFL` or `SIG_IGN`.
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// Return address of the handler; 0 on architectures without it.
    pub restorer: u64,
    /// Signals blocked while the handler runs, bit n-1 for signal n.
    pub mask: u64,
}

/// `struct cairn_range`: a range of memory to save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Range {
    /// First address, page-aligned.
    pub from: u64,
    /// Length in bytes, page-aligned.
    pub len: u32,
    /// `RANGE_*`
    pub flags: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_are_bits() {
        let mut info =
            Info { size: 120, abi_version: 1, features: 1 | 1 << 40, version: [b'1'; 32], source: [0; 72] };
        assert_eq!(info.features(), ["access", "0x10000000000"]);
        assert_eq!((info.version().len(), info.source()), (32, String::new()));
        assert!(info.is_spoken());
        info.abi_version = 2;
        assert!(!info.is_spoken());
    }
}
