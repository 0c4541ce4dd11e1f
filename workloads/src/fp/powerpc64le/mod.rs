//! Registers of powerpc64le: general, condition, special, floating point, VMX, VSX, control words, protection keys.
//!
//! What a system call keeps is written in Documentation/arch/powerpc/syscall64-abi.rst. What it does not keep is looked at
//! in mid-computation.

mod exception_modes;
mod float_registers;
mod fpscr_modes;
mod general_in_motion;
mod general_registers;
mod over_read;
mod priority_in_motion;
mod protection_key_rights;
mod special_registers;
mod vector_registers;
mod vector_status;
mod vectored_call;
mod vsx_in_motion;
mod vsx_registers;

use super::{protection_keys, scalar_in_motion};
use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &general_registers::WORKLOAD,
    &vectored_call::WORKLOAD,
    &float_registers::WORKLOAD,
    &vector_registers::WORKLOAD,
    &vsx_registers::WORKLOAD,
    &fpscr_modes::WORKLOAD,
    &exception_modes::WORKLOAD,
    &vector_status::WORKLOAD,
    &special_registers::WORKLOAD,
    &protection_key_rights::WORKLOAD,
    &protection_keys::WORKLOAD,
    &scalar_in_motion::WORKLOAD,
    &general_in_motion::WORKLOAD,
    &priority_in_motion::WORKLOAD,
    &vsx_in_motion::WORKLOAD,
];

/// Features of processor and kernel, as bits of AT_HWCAP2 (asm/cputable.h).
#[derive(Clone, Copy)]
enum Feature {
    Dscr = 0x2000_0000,
    Tar = 0x0400_0000,
    Scv = 0x0010_0000,
}

impl Feature {
    /// Whether this machine has it.
    fn here(self) -> bool {
        // SAFETY: getauxval only reads the vector.
        unsafe { libc::getauxval(libc::AT_HWCAP2) & self as u64 != 0 }
    }
}
