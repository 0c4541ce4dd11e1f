//! Thirty-one registers of two lanes each count up by their own steps in a loop without a system
//! call, and the rounds are counted with the carry flag.

use crate::fp::helpers::{counted, spinning_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads counting in all SIMD registers all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    spinning_threads(cx, 2, |spinning| {
        let mut rng = Rng::new(spinning.key);
        let steps: [u64; 62] = std::array::from_fn(|_| rng.word());
        let (mut sums, mut rounds) = ([0u64; 62], 0u64);
        // SAFETY: both arrays have the 496 bytes that are read and written.
        unsafe { count(steps.as_ptr(), sums.as_mut_ptr(), spinning.start(), &mut rounds) };
        counted("SIMD registers", &sums, &[0; 62], |lane| steps[lane], rounds)
    })
}

/// Adds the steps to v0–v30, with v31 between, until `*stop` is not 0; stores the sums and the
/// number of rounds. What the number of rounds grows by is the carry flag, set before the loop:
/// without it there are fewer rounds than the sums say.
#[unsafe(naked)]
unsafe extern "C" fn count(steps: *const u64, sums: *mut u64, stop: *const u32, rounds: *mut u64) {
    std::arch::naked_asm!(
        "stp d8, d9, [sp, #-64]!",
        "stp d10, d11, [sp, #16]",
        "stp d12, d13, [sp, #32]",
        "stp d14, d15, [sp, #48]",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"movi v\n\().2d, #0",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"movi v\n\().2d, #0",
        ".endr",
        "mov x4, #0",
        "cmp x4, x4",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"ldr q31, [x0, #16 * \n]",
        r"add v\n\().2d, v\n\().2d, v31.2d",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"ldr q31, [x0, #16 * \n]",
        r"add v\n\().2d, v\n\().2d, v31.2d",
        ".endr",
        "adc x4, x4, xzr",
        "ldr w5, [x2]",
        "cbz w5, 2b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"str q\n, [x1, #16 * \n]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"str q\n, [x1, #16 * \n]",
        ".endr",
        "str x4, [x3]",
        "ldp d10, d11, [sp, #16]",
        "ldp d12, d13, [sp, #32]",
        "ldp d14, d15, [sp, #48]",
        "ldp d8, d9, [sp], #64",
        "ret",
    )
}
