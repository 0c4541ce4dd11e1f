//! The registers that `sc` preserves, with different values in four threads: including table of
//! contents and thread pointer.

use super::over_read;
use crate::fp::helpers::{Aligned, Blocked, OverRead, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "general, link and condition registers over a blocked system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bytes of r2, r13–r31; of these with the link register, and with the condition register.
pub const GENERAL: usize = 20 * 8;
const ALL: usize = GENERAL + 16;

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, 4, |blocked| {
        // The first field of the condition register reports success.
        let (input, output) = through(blocked, over_read::general, 0x0fff_ffff)?;
        expect_bytes("link and condition register", &output[GENERAL..], &input[GENERAL..])
    })
}

/// Compares the general registers. The bytes before and after, with the fields of the condition
/// register in `kept` only.
pub fn through(blocked: &Blocked, function: OverRead, kept: u64) -> anyhow::Result<([u8; ALL], [u8; ALL])> {
    let mut input = Aligned([0; ALL]);
    pattern::fill(&mut input.0, blocked.key);
    // Where there are only 32 bits.
    input.0[GENERAL + 12..].fill(0);
    // The two lowest bits of a code address are not stored anywhere.
    input.0[GENERAL] &= !3;
    let mut output = blocked.through(function, &input)?;
    expect_bytes("r2, r13 to r31", &output.0[..GENERAL], &input.0[..GENERAL])?;
    for registers in [&mut input.0, &mut output.0] {
        for (byte, mask) in registers[GENERAL + 8..].iter_mut().zip(kept.to_le_bytes()) {
            *byte &= mask;
        }
    }
    Ok((input.0, output.0))
}
