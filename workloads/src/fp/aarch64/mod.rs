//! Registers of arm64: general, flags, SIMD, control words, thread pointers, SVE, SME, pointer
//! authentication, branch targets, memory tags.

mod over_read;
mod pauth;

use crate::framework::sys;

crate::framework::corpus! {
    mod general_registers;
    mod processor_flags;
    mod simd_registers;
    mod fpcr_modes;
    mod thread_pointers;
    mod sve_lengths;
    mod sme_registers;
    mod pauth_keys;
    mod pauth_enabled_keys;
    mod signed_returns;
    mod bti_pages;
    mod tagged_addresses;
    mod mte_modes;
    mod mte_tags;
    use super::scalar_in_motion;
    mod simd_in_motion;
    mod sve_in_motion;
    mod sme_in_motion;
}

/// Features of processor and kernel, by their bit in AT_HWCAP, or AT_HWCAP2 from 64 on
/// (asm/hwcap.h).
#[derive(Clone, Copy)]
enum Feature {
    Sve = 22,
    Dit = 24,
    Ssbs = 28,
    Paca = 30,
    Pacg = 31,
    Bti = 64 + 17,
    Mte = 64 + 18,
    Sme = 64 + 23,
}

impl Feature {
    /// Whether this machine has it.
    fn here(self) -> bool {
        let (vector, bit) = match self as u32 {
            bit @ ..64 => (libc::AT_HWCAP, bit),
            bit => (libc::AT_HWCAP2, bit - 64),
        };
        // SAFETY: getauxval only reads the vector.
        unsafe { libc::getauxval(vector) & (1 << bit) != 0 }
    }
}

/// prctl(2) with at most two arguments; these operations require the others to be zero. Returns its
/// value.
fn prctl(operation: i32, first: u64, second: u64) -> anyhow::Result<u64> {
    // SAFETY: the operations of this group take numbers only, and change registers that compiled
    // code does not use.
    let value = sys::check("prctl", unsafe { libc::prctl(operation, first, second, 0u64, 0u64) })?;
    Ok(value.cast_unsigned().into())
}

/// linux/prctl.h: set and get the vector lengths of the calling thread, in bytes; the bit that
/// keeps it over an exec.
const PR_SVE_SET_VL: i32 = 50;
const PR_SVE_GET_VL: i32 = 51;
const PR_SME_SET_VL: i32 = 63;
const VL_INHERIT: u64 = 1 << 17;
const VL_MASK: u64 = 0xffff;
