//! Registers of powerpc64le: general, condition, special, floating point, VMX, VSX, control words,
//! protection keys.
//!
//! Documentation/arch/powerpc/syscall64-abi.rst lists what a system call preserves. The rest is
//! tested in mid-computation.

mod over_read;

crate::framework::corpus! {
    mod general_registers;
    mod vectored_call;
    mod float_registers;
    mod vector_registers;
    mod vsx_registers;
    mod fpscr_modes;
    mod exception_modes;
    mod vector_status;
    mod special_registers;
    mod protection_key_rights;
    use super::protection_keys;
    use super::scalar_in_motion;
    mod general_in_motion;
    mod priority_in_motion;
    mod vsx_in_motion;
}

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
