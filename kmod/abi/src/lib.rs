//! User ABI of the kernel module: the mirror of `kmod/uapi/cairn.h`, and its ioctls ([`Device`]).
//!
//! Every structure and constant of the header has its counterpart here and a line in [`layout`];
//! `cargo xtask header-check` compares that with the header. The header documents the ABI: its
//! rules, every field, and the errors of every ioctl.
#![deny(unsafe_code)]

mod argument;
mod device;
mod layout;

pub use argument::{
    Action, Actions, Capability, Continue, Freeze, Info, Pending, Policy, Process, Range, Regset, Save, Thaw,
    Thread, Timer,
};
pub use device::Device;
pub use layout::layout;

/// `CAIRN_ABI_VERSION`: the version that this crate was written for.
pub const ABI_VERSION: u32 = 1;
/// `CAIRN_DEVICE`
pub const DEVICE: &str = "/dev/cairn";
/// `CAIRN_IOC_TYPE`
pub const IOC_TYPE: u32 = 0xC7;

/// `CAIRN_FEATURE_ACCESS`: the module can check the caller's permission to access another task.
pub const FEATURE_ACCESS: u64 = 1 << 0;
/// `CAIRN_FEATURE_FREEZE`: processes can be frozen and inspected.
pub const FEATURE_FREEZE: u64 = 1 << 1;
/// `CAIRN_FEATURE_CONTINUE`: a thread can continue a sleep for the remaining time.
pub const FEATURE_CONTINUE: u64 = 1 << 2;
/// `CAIRN_FEATURE_CAPABILITY`: unprivileged users can restart their processes.
pub const FEATURE_CAPABILITY: u64 = 1 << 3;
/// `CAIRN_FEATURE_SAVE`: memory can be written to a file.
pub const FEATURE_SAVE: u64 = 1 << 4;
/// `CAIRN_FEATURE_SETTINGS`: settings of threads and processes.
pub const FEATURE_SETTINGS: u64 = 1 << 5;

/// Names of the features, as `cairn about` prints them.
const FEATURES: &[(u64, &str)] = &[
    (FEATURE_ACCESS, "access"),
    (FEATURE_FREEZE, "freeze"),
    (FEATURE_CONTINUE, "continue"),
    (FEATURE_CAPABILITY, "capability"),
    (FEATURE_SAVE, "save"),
    (FEATURE_SETTINGS, "settings"),
];

/// `CAIRN_FREEZE_TRACED`: freeze traced threads, too.
pub const FREEZE_TRACED: u32 = 1;

/// `CAIRN_STATE_FROZEN`: the thread waits in the module.
pub const STATE_FROZEN: u32 = 0;
/// `CAIRN_STATE_STOPPED`: the thread is stopped by a signal.
pub const STATE_STOPPED: u32 = 1;
/// `CAIRN_STATE_TRACED`: the thread is stopped by a tracer.
pub const STATE_TRACED: u32 = 2;

/// `CAIRN_SLEEP_NONE`: no interrupted system call with a remaining timeout.
pub const SLEEP_NONE: u32 = 0;
/// `CAIRN_SLEEP_NANO`: nanosleep(2) or clock_nanosleep(2).
pub const SLEEP_NANO: u32 = 1;
/// `CAIRN_SLEEP_POLL`: poll(2).
pub const SLEEP_POLL: u32 = 2;
/// `CAIRN_SLEEP_FUTEX`: futex(2).
pub const SLEEP_FUTEX: u32 = 3;
/// `CAIRN_SLEEP_OTHER`: another system call with a restart block.
pub const SLEEP_OTHER: u32 = 4;
/// `CAIRN_SLEEP_CALL`: a system call that is restarted from the registers.
pub const SLEEP_CALL: u32 = 5;
/// `CAIRN_SLEEP_MAX`: the longest sleep, in nanoseconds.
pub const SLEEP_MAX: u64 = 1 << 62;

/// `CAIRN_SAVE_MAX`: the most bytes of one request.
pub const SAVE_MAX: usize = 1 << 20;
/// `CAIRN_SAVE_RANGES`: the most ranges of one request.
pub const SAVE_RANGES: usize = 256;
/// `CAIRN_RANGE_ZEROS`: save pages of zeros, too.
pub const RANGE_ZEROS: u32 = 1;

/// `CAIRN_SIGINFO_SIZE`
pub const SIGINFO_SIZE: usize = 128;
/// `CAIRN_RLIMITS`
pub const RLIMITS: usize = 16;
/// `CAIRN_SIGNALS`
pub const SIGNALS: usize = 64;

/// `CAIRN_NODE_WORDS`: words of a nodemask.
pub const NODE_WORDS: usize = 16;
/// `CAIRN_POLICY_ADDR`: the memory policy at an address instead of that of the thread.
pub const POLICY_ADDR: u32 = 1;

/// `CAIRN_IOC_GET_INFO`
pub const IOC_GET_INFO: libc::Ioctl = libc::_IO(IOC_TYPE, 0x00);
/// `CAIRN_IOC_FREEZE`
pub const IOC_FREEZE: libc::Ioctl = libc::_IO(IOC_TYPE, 0x10);
/// `CAIRN_IOC_THAW`
pub const IOC_THAW: libc::Ioctl = libc::_IO(IOC_TYPE, 0x11);
/// `CAIRN_IOC_GET_THREAD`
pub const IOC_GET_THREAD: libc::Ioctl = libc::_IO(IOC_TYPE, 0x12);
/// `CAIRN_IOC_GET_REGSET`
pub const IOC_GET_REGSET: libc::Ioctl = libc::_IO(IOC_TYPE, 0x13);
/// `CAIRN_IOC_GET_PENDING`
pub const IOC_GET_PENDING: libc::Ioctl = libc::_IO(IOC_TYPE, 0x14);
/// `CAIRN_IOC_GET_PROCESS`
pub const IOC_GET_PROCESS: libc::Ioctl = libc::_IO(IOC_TYPE, 0x15);
/// `CAIRN_IOC_GET_ACTIONS`
pub const IOC_GET_ACTIONS: libc::Ioctl = libc::_IO(IOC_TYPE, 0x16);
/// `CAIRN_IOC_GET_TIMER`
pub const IOC_GET_TIMER: libc::Ioctl = libc::_IO(IOC_TYPE, 0x17);
/// `CAIRN_IOC_CONTINUE`
pub const IOC_CONTINUE: libc::Ioctl = libc::_IO(IOC_TYPE, 0x18);
/// `CAIRN_IOC_SAVE`
pub const IOC_SAVE: libc::Ioctl = libc::_IO(IOC_TYPE, 0x19);
/// `CAIRN_IOC_GET_CAPABILITY`
pub const IOC_GET_CAPABILITY: libc::Ioctl = libc::_IO(IOC_TYPE, 0x1a);
/// `CAIRN_IOC_GET_POLICY`
pub const IOC_GET_POLICY: libc::Ioctl = libc::_IO(IOC_TYPE, 0x1b);
