//! Registers of x86_64: general, x87, SSE, AVX, AVX-512, control words, segment bases, protection keys.

mod avx512_registers;
mod avx_registers;
mod flags;
mod general_registers;
mod mxcsr_modes;
mod over_read;
mod protection_key_rights;
mod segment_bases;
mod sse_registers;
mod vectors_in_motion;
mod x87_in_motion;
mod x87_pending_exception;
mod x87_registers;

use super::{protection_keys, scalar_in_motion};
use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &general_registers::WORKLOAD,
    &flags::WORKLOAD,
    &sse_registers::WORKLOAD,
    &avx_registers::WORKLOAD,
    &avx512_registers::WORKLOAD,
    &x87_registers::WORKLOAD,
    &x87_pending_exception::WORKLOAD,
    &mxcsr_modes::WORKLOAD,
    &segment_bases::WORKLOAD,
    &protection_key_rights::WORKLOAD,
    &protection_keys::WORKLOAD,
    &scalar_in_motion::WORKLOAD,
    &x87_in_motion::WORKLOAD,
    &vectors_in_motion::WORKLOAD,
];

/// The processor and the kernel offer protection keys: leaf 7 of cpuid, bit 4 of ecx.
fn has_protection_keys() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ecx & (1 << 4) != 0
}
