//! All SVE registers at work in a loop without a system call, which would drop most of them: every
//! lane of z0 to z31 counts, p0 to p15 and the first-fault register keep their values. Each thread
//! has its own vector length.

use super::{Feature, PR_SVE_GET_VL, PR_SVE_SET_VL, VL_MASK, prctl};
use crate::fp::helpers::{Aligned, counted, spinning_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads counting in all SVE registers all the time, with vectors of different lengths",
    needs: &[],
    active: true,
    statik: true,
    run,
};

/// Bytes of the longest vector of the architecture.
const LONGEST: usize = 256;

/// z0–z31, then p0–p15 and FFR, at the longest.
struct Registers {
    z: [u64; 32 * LONGEST / 8],
    p: Aligned<{ 17 * LONGEST / 8 }>,
}

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Sve.here() {
        return skip("the processor has no SVE");
    }
    spinning_threads(cx, 4, |spinning| {
        prctl(PR_SVE_SET_VL, [256, 16, 64, 32][spinning.number as usize], 0)?;
        let want = prctl(PR_SVE_GET_VL, 0, 0)?;
        let len = (want & VL_MASK) as usize;
        let mut rng = Rng::new(spinning.key);
        let mut now =
            Box::new(Registers { z: std::array::from_fn(|_| rng.word()), p: Aligned([0; 17 * LONGEST / 8]) });
        pattern::fill(&mut now.p.0[..16 * len / 8], spinning.key);
        // The first-fault register is ones up to some point and then zeros, nothing else.
        for bit in 0..rng.below(len as u64) as usize {
            now.p.0[16 * len / 8 + bit / 8] |= 1 << (bit % 8);
        }
        let (start, predicates, mut rounds) = (now.z, now.p.0, 0u64);
        // SAFETY: the processor has SVE, and the buffers hold its registers at any length.
        unsafe { count(now.z.as_mut_ptr(), now.p.0.as_mut_ptr(), spinning.start(), &mut rounds) };
        let (used, lanes) = (32 * len / 8, len / 8);
        counted("z registers", &now.z[..used], &start[..used], |lane| (lane / lanes + 1) as u64, rounds)?;
        expect_bytes("predicates", &now.p.0[..16 * len / 8], &predicates[..16 * len / 8])?;
        expect_bytes("first-fault register", &now.p.0[16 * len / 8..], &predicates[16 * len / 8..])?;
        expect_eq("vector length", prctl(PR_SVE_GET_VL, 0, 0)?, want)
    })
}

/// Loads all registers, adds n + 1 to every lane of register n until `*stop` is not 0, stores all
/// registers and the number of rounds. No more than the low halves of v8 to v15 are the caller's.
#[unsafe(naked)]
unsafe extern "C" fn count(z: *mut u64, p: *mut u8, stop: *const u32, rounds: *mut u64) {
    std::arch::naked_asm!(
        ".arch_extension sve",
        "stp d8, d9, [sp, #-64]!",
        "stp d10, d11, [sp, #16]",
        "stp d12, d13, [sp, #32]",
        "stp d14, d15, [sp, #48]",
        "ldr p0, [x1, #16, mul vl]",
        "wrffr p0.b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"ldr p\n, [x1, #\n, mul vl]",
        r"ldr z\n, [x0, #\n, mul vl]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"ldr z\n, [x0, #\n, mul vl]",
        ".endr",
        "mov x4, #0",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"add z\n\().d, z\n\().d, #(\n + 1)",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"add z\n\().d, z\n\().d, #(\n + 1)",
        ".endr",
        "add x4, x4, #1",
        "ldr w5, [x2]",
        "cbz w5, 2b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"str p\n, [x1, #\n, mul vl]",
        r"str z\n, [x0, #\n, mul vl]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"str z\n, [x0, #\n, mul vl]",
        ".endr",
        "rdffr p0.b",
        "str p0, [x1, #16, mul vl]",
        "str x4, [x3]",
        "ldp d10, d11, [sp, #16]",
        "ldp d12, d13, [sp, #32]",
        "ldp d14, d15, [sp, #48]",
        "ldp d8, d9, [sp], #64",
        "ret",
    )
}
