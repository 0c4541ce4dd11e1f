//! Carry, parity, adjust, zero, sign, overflow, alignment check, and the direction flag, which must
//! never be set in C code.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the flags register over a blocked system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bits of rflags: always one, CF, PF, AF, ZF, SF, IF, DF, OF, AC.
const SETS: [u64; 4] = [0x202, 0x202 | 0x400, 0x202 | 0x8d5, 0x202 | 0x400 | 0x841 | 0x4_0000];

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, SETS.len() as u64, |blocked| {
        let want = SETS[blocked.number as usize];
        let output = blocked.through(over_read::flags, &Aligned(want.to_ne_bytes()))?;
        expect_eq("flags", u64::from_ne_bytes(output.0), want)
    })
}
