//! MXCSR of nine threads, and its effect on arithmetic afterwards.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "rounding, flush-to-zero, denormals-are-zero and sticky flags, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bits of MXCSR: all exceptions masked; flush to zero; denormals are zero; the six sticky flags.
const MASKED: u32 = 0x1f80;
const FTZ: u32 = 1 << 15;
const DAZ: u32 = 1 << 6;

/// MXCSR; then 1/3, −1/3 and half of the smallest normal number under it.
const MODES: [(u32, [u32; 3]); 9] = [
    (MASKED, [0x3eaa_aaab, 0xbeaa_aaab, 0x0040_0000]),
    (MASKED | 1 << 13, [0x3eaa_aaaa, 0xbeaa_aaab, 0x0040_0000]),
    (MASKED | 2 << 13, [0x3eaa_aaab, 0xbeaa_aaaa, 0x0040_0000]),
    (MASKED | 3 << 13, [0x3eaa_aaaa, 0xbeaa_aaaa, 0x0040_0000]),
    (MASKED | FTZ, [0x3eaa_aaab, 0xbeaa_aaab, 0]),
    (MASKED | FTZ | 1 << 13, [0x3eaa_aaaa, 0xbeaa_aaab, 0]),
    (MASKED | DAZ, [0x3eaa_aaab, 0xbeaa_aaab, 0x0040_0000]),
    (MASKED | 0x3f, [0x3eaa_aaab, 0xbeaa_aaab, 0x0040_0000]),
    (MASKED | 0x12 | 2 << 13, [0x3eaa_aaab, 0xbeaa_aaaa, 0x0040_0000]),
];

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, MODES.len() as u64, |blocked| {
        let (mode, results) = MODES[blocked.number as usize];
        let numbers = [
            mode,
            1f32.to_bits(),
            3f32.to_bits(),
            (-1f32).to_bits(),
            f32::MIN_POSITIVE.to_bits(),
            0.5f32.to_bits(),
        ];
        let mut input = Aligned([0; 24]);
        for (place, number) in input.0.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        let output = blocked.through(over_read::mxcsr, &input)?;
        let word = |index: usize| {
            u32::from_ne_bytes(output.0[4 * index..4 * index + 4].try_into().expect("four bytes"))
        };
        expect_eq("MXCSR", word(0), mode)?;
        expect_eq("1/3, -1/3, half of the smallest normal number", [word(1), word(2), word(3)], results)
    })
}
