//! FPCR and FPSR of eight threads, and their effect on arithmetic afterwards.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "rounding, flush-to-zero, default NaN and sticky flags, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bits of FPCR: flush to zero, default NaN; rounding up, down, to zero.
const FZ: u32 = 1 << 24;
const DN: u32 = 1 << 25;
const UP: u32 = 1 << 22;
const DOWN: u32 = 2 << 22;
const ZERO: u32 = 3 << 22;
/// Bits of FPSR: the sticky flags IOC, DZC, OFC, UFC, IXC, IDC, and saturation.
const ALL: u32 = 0x0800_009f;

/// A quiet NaN with a payload, and the default NaN.
const NAN: u32 = 0x7fc0_1234;
const PLAIN: u32 = 0x7fc0_0000;

/// FPCR; FPSR; then 1/3, −1/3, half of the smallest normal number, and a NaN times 1 under them.
const MODES: [(u32, u32, [u32; 4]); 8] = [
    (0, 0, [0x3eaa_aaab, 0xbeaa_aaab, 0x0040_0000, NAN]),
    (UP, 0x01, [0x3eaa_aaab, 0xbeaa_aaaa, 0x0040_0000, NAN]),
    (DOWN, 0x02, [0x3eaa_aaaa, 0xbeaa_aaab, 0x0040_0000, NAN]),
    (ZERO, 0x0c, [0x3eaa_aaaa, 0xbeaa_aaaa, 0x0040_0000, NAN]),
    (FZ, 0x80, [0x3eaa_aaab, 0xbeaa_aaab, 0, NAN]),
    (FZ | ZERO, 0x10, [0x3eaa_aaaa, 0xbeaa_aaaa, 0, NAN]),
    (DN, 0x0800_0000, [0x3eaa_aaab, 0xbeaa_aaab, 0x0040_0000, PLAIN]),
    (DN | FZ | UP, ALL, [0x3eaa_aaab, 0xbeaa_aaaa, 0, PLAIN]),
];

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, MODES.len() as u64, |blocked| {
        let (control, status, results) = MODES[blocked.number as usize];
        let numbers = [
            control,
            status,
            1f32.to_bits(),
            3f32.to_bits(),
            (-1f32).to_bits(),
            f32::MIN_POSITIVE.to_bits(),
            0.5f32.to_bits(),
            NAN,
        ];
        let mut input = Aligned([0; 32]);
        for (place, number) in input.0.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        let output = blocked.through(over_read::fpcr, &input)?;
        let word = |index: usize| {
            u32::from_ne_bytes(output.0[4 * index..4 * index + 4].try_into().expect("four bytes"))
        };
        expect_eq("FPCR", word(0), control)?;
        expect_eq("FPSR", word(1), status)?;
        let got = [word(2), word(3), word(4), word(5)];
        expect_eq("1/3, -1/3, half of the smallest normal number, a NaN", got, results)
    })
}
