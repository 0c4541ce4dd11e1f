//! What differs between architectures: registers, the system call ABI, extended register sets, the executor stub.
//!
//! Every file here offers the same names; the rest of the engine names no register.
//!
//! # Safety
//! The only `unsafe` is the executor stub, assembled here and read as bytes; it is never called in this process.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!("cairn has no engine for this architecture yet");

unsafe extern "C" {
    static cairn_stub_start: u8;
    static cairn_stub_done: u8;
    static cairn_stub_end: u8;
}

/// The executor stub: runs a table of system calls and stops once. Position independent.
pub fn stub() -> &'static [u8] {
    // SAFETY: both symbols bound the one section that the architecture lays down, in read-only memory of this program.
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
    /// Does it to one set of one thread: the thread's place in its process, its general registers, the set's note type and contents.
    pub spoil: fn(usize, &mut Regs, u32, &mut [u8]),
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
