//! Eight numbers of 80 bits on a stack whose top differs by thread, some of them empty, precision
//! and rounding changed, sticky exception flags set.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the x87 stack with control, status and tag words",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, 4, |blocked| {
        let input = image(blocked.key, blocked.number);
        let output = blocked.through(over_read::fxsave, &input)?;
        for (offset, len, what) in
            [(0, 2, "control word"), (2, 2, "status word"), (4, 1, "tags"), (24, 4, "MXCSR")]
        {
            expect_bytes(what, &output.0[offset..offset + len], &input.0[offset..offset + len])?;
        }
        for register in 0..8 {
            let at = 32 + 16 * register;
            expect_bytes(&format!("st({register})"), &output.0[at..at + 10], &input.0[at..at + 10])?;
        }
        expect_bytes("SSE registers", &output.0[160..416], &input.0[160..416])
    })
}

/// What fxrstor loads (Intel's manual, volume 1, table 10-2).
fn image(key: u64, number: u64) -> Aligned<512> {
    let mut image = Aligned([0; 512]);
    pattern::fill(&mut image.0[160..416], key);
    let number = number as u16;
    // All exceptions masked, the bit that is always one; precision 53 or 64 bits; rounding by
    // thread.
    let control = 0x007f | (if number.is_multiple_of(2) { 0x0200 } else { 0x0300 }) | (number << 10);
    // Condition codes, top of stack, sticky flags of masked exceptions.
    let status = ((number * 2 + 1) << 11) | 0x4100 | (1 << number);
    image.0[0..2].copy_from_slice(&control.to_le_bytes());
    image.0[2..4].copy_from_slice(&status.to_le_bytes());
    // One bit for each register that is not empty.
    image.0[4] = 0xff << number;
    image.0[24..28].copy_from_slice(&0x1fa0u32.to_le_bytes());
    for register in 0..8 {
        let number = &mut image.0[32 + 16 * register..][..10];
        pattern::fill(number, key + 100 + register as u64);
        // A normal number: the integer bit set, the exponent away from its ends.
        number[7] |= 0x80;
        number[9] = 0x3f;
    }
    image
}
