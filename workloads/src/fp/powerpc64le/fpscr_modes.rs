//! FPSCR of eight threads, and its effect on arithmetic afterwards.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "binary and decimal rounding, enabled exceptions and sticky flags, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bits of FPSCR: rounding to zero, up, down; decimal rounding modes; enabled exceptions, of
/// invalid operations and of division by zero; sticky flags with their summary.
const ZERO: u64 = 1;
const UP: u64 = 2;
const DOWN: u64 = 3;
const fn decimal(mode: u64) -> u64 {
    mode << 32
}
const ENABLED: u64 = 0x80 | 0x10;
const SUMMARY: u64 = 0x8000_0000;
const OVERFLOW: u64 = SUMMARY | 0x1000_0000;
const UNDERFLOW: u64 = SUMMARY | 0x0800_0000;
const DIVISION: u64 = SUMMARY | 0x0400_0000;
const INEXACT: u64 = SUMMARY | 0x0200_0000;
/// With the summary of invalid operations: infinity minus infinity, infinity by infinity, the
/// square root.
const INVALID: u64 = SUMMARY | 0x2000_0000 | 0x0080_0000 | 0x0040_0000 | 0x0000_0200;

/// FPSCR; then 1/3 and −1/3 under it.
const MODES: [(u64, [u32; 2]); 8] = [
    (0, [0x3eaa_aaab, 0xbeaa_aaab]),
    (ZERO | OVERFLOW, [0x3eaa_aaaa, 0xbeaa_aaaa]),
    (UP | UNDERFLOW, [0x3eaa_aaab, 0xbeaa_aaaa]),
    (DOWN | DIVISION | decimal(7), [0x3eaa_aaaa, 0xbeaa_aaab]),
    (INEXACT | decimal(5), [0x3eaa_aaab, 0xbeaa_aaab]),
    (UP | INVALID | decimal(2), [0x3eaa_aaab, 0xbeaa_aaaa]),
    (ZERO | ENABLED, [0x3eaa_aaaa, 0xbeaa_aaaa]),
    (DOWN | OVERFLOW | UNDERFLOW | DIVISION | INEXACT | INVALID, [0x3eaa_aaaa, 0xbeaa_aaab]),
];

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, MODES.len() as u64, |blocked| {
        let (mode, results) = MODES[blocked.number as usize];
        let mut input = Aligned([0; 24]);
        input.0[..8].copy_from_slice(&mode.to_ne_bytes());
        for (place, number) in input.0[8..].chunks_exact_mut(4).zip([1f32, 3.0, -1.0]) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        let output = blocked.through(over_read::fpscr, &input)?;
        expect_bytes("FPSCR", &output.0[..8], &input.0[..8])?;
        let word = |at: usize| u32::from_ne_bytes(output.0[at..at + 4].try_into().expect("four bytes"));
        expect_eq("1/3 and -1/3", [word(8), word(12)], results)
    })
}
