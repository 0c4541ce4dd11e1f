//! Registers of x86_64: general, x87, SSE, AVX, AVX-512, control words, segment bases, protection
//! keys.

mod over_read;

crate::framework::corpus! {
    mod general_registers;
    mod flags;
    mod sse_registers;
    mod avx_registers;
    mod avx512_registers;
    mod x87_registers;
    mod x87_pending_exception;
    mod mxcsr_modes;
    mod segment_bases;
    mod protection_key_rights;
    use super::protection_keys;
    use super::scalar_in_motion;
    mod x87_in_motion;
    mod vectors_in_motion;
}

/// The processor and the kernel offer protection keys: leaf 7 of cpuid, bit 4 of ecx.
fn has_protection_keys() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ecx & (1 << 4) != 0
}
