//! What differs between architectures: registers, the system call ABI, extended register sets, the
//! executor stub.
//!
//! Every file here offers the same names; the rest of the engine names no register.
//!
//! # Safety
//! The only `unsafe` is the executor stub, assembled here and read as bytes; it is never called in
//! this process.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

#[cfg(target_arch = "powerpc64")]
mod powerpc64;
#[cfg(target_arch = "powerpc64")]
pub use powerpc64::*;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(
    target_arch = "aarch64",
    all(target_arch = "powerpc64", target_endian = "little"),
    target_arch = "x86_64"
)))]
compile_error!("cairn does not support this architecture yet");

/// Bytes of one entry of a stub's table: number, six arguments, flags, result, expected result.
pub const ENTRY_SIZE: u64 = 80;
/// Offset of the result within an entry.
pub const ENTRY_RESULT: u64 = 64;
/// Offset of the first argument within an entry.
pub const ENTRY_ARGS: u64 = 8;

/// An interrupted system call: its number and how it is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted {
    /// System call number.
    pub nr: i64,
    /// What the kernel left in the result register.
    pub kind: InterruptedKind,
}

/// See signal(7), "Interruption of system calls", and include/linux/errno.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptedKind {
    /// To be repeated with the same arguments.
    Again,
    /// To be continued by restart_syscall(2) with the time that is left, which the task keeps in
    /// the kernel.
    RestartBlock,
    /// Failed with EINTR.
    Eintr,
}

impl Regs {
    /// What the kernel makes of these registers when there is no handler to run: for those who put
    /// them into a thread by other ways than a tracer's.
    pub fn resumed(self) -> Self {
        match self.interrupted_syscall() {
            Some(Interrupted { nr, kind: InterruptedKind::Again }) => self.rewound(nr),
            Some(Interrupted { kind: InterruptedKind::RestartBlock, .. }) => {
                self.rewound(SYS_RESTART_SYSCALL)
            }
            Some(Interrupted { kind: InterruptedKind::Eintr, .. }) | None => self.outside_syscall(),
        }
    }

    /// Whether these registers make system call `nr` again; where they never show that, also if for
    /// the first time, as told by `is_at_syscall`: whether there is the instruction where they are.
    pub fn makes_again(&self, nr: i64, is_at_syscall: impl FnOnce() -> bool) -> bool {
        match self.interrupted_syscall() {
            Some(call) => call.kind == InterruptedKind::Again && call.nr == nr,
            None => !SHOWS_INTERRUPTED && self.syscall_number() == nr && is_at_syscall(),
        }
    }
}

/// A state of an address space that cannot be brought back, as a system call tells it.
pub struct RefusedState {
    /// The call.
    pub nr: i64,
    /// Its arguments; that of number `out` is where the kernel writes.
    pub args: &'static [i64],
    /// See `args`.
    pub out: usize,
    /// How many bytes it writes at most.
    pub room: usize,
    /// What the process does or has: what follows "pid N".
    pub what: &'static str,
    /// Whether it is there, by what the call returns and has written.
    pub there: fn(i64, &[u8]) -> bool,
}

/// A frame as the kernel lays it on the stack for a signal handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalFrame {
    /// Its address, which the stack pointer has when the handler returns.
    pub at: u64,
    /// What belongs there.
    pub bytes: Vec<u8>,
}

/// include/linux/errno.h: seen by tracers only.
#[cfg_attr(target_arch = "aarch64", allow(dead_code))]
const ERESTARTNOHAND: u64 = 514;
#[cfg_attr(target_arch = "aarch64", allow(dead_code))]
const ERESTART_RESTARTBLOCK: u64 = 516;

impl InterruptedKind {
    /// What an error means that the kernel left in the result register; nothing for those of a call
    /// that has ended by itself.
    #[cfg_attr(target_arch = "aarch64", allow(dead_code))]
    fn of_error(error: u64) -> Option<Self> {
        const ERESTARTSYS: u64 = 512;
        const ERESTARTNOINTR: u64 = 513;
        const EINTR: u64 = libc::EINTR as u64;
        match error {
            ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND => Some(InterruptedKind::Again),
            ERESTART_RESTARTBLOCK => Some(InterruptedKind::RestartBlock),
            EINTR => Some(InterruptedKind::Eintr),
            _ => None,
        }
    }
}

unsafe extern "C" {
    static cairn_stub_start: u8;
    static cairn_stub_done: u8;
    static cairn_stub_end: u8;
}

/// The executor stub: runs a table of system calls and stops once. Position independent.
pub fn stub() -> &'static [u8] {
    // SAFETY: both symbols bound the one section that the architecture lays down, in read-only
    // memory of this program.
    unsafe {
        let start = &raw const cairn_stub_start;
        let len = (&raw const cairn_stub_end).offset_from(start) as usize;
        std::slice::from_raw_parts(start, len)
    }
}

/// Offset within the stub where a task is when it tells its tracer that the table is done.
pub fn stub_done() -> u64 {
    // SAFETY: both symbols are in the one section that the architecture lays down.
    unsafe { (&raw const cairn_stub_done).offset_from(&raw const cairn_stub_start) as u64 }
}

/// An error of the registers that the engine commits on request.
#[cfg(feature = "planted-faults")]
pub struct RegisterFault {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Does it to one set of one thread: the thread's place in its process, its general registers,
    /// the set's note type and contents.
    pub spoil: fn(usize, &mut Regs, u32, &mut [u8]),
}

/// Where a terminal's settings differ: places in the 44 bytes of a struct, and the requests of
/// ioctl(2).
#[derive(Debug, Clone, Copy)]
pub struct TermiosLayout {
    /// Offset of `c_line`.
    pub line: usize,
    /// Offset of `c_cc`.
    pub characters: usize,
    /// Reads the settings.
    pub get: u32,
    /// Sets them at once.
    pub set: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_done_behind_a_system_call() {
        let done = stub_done() as usize;
        assert_eq!(&stub()[done - SYSCALL_INSN.len()..done], SYSCALL_INSN);
    }

    #[test]
    fn stub_fits_before_its_control_block() {
        assert!((100..STUB_CONTROL as usize).contains(&stub().len()), "{} bytes", stub().len());
    }
}
