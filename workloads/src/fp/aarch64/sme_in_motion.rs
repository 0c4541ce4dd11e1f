//! Streaming mode in a loop without a system call, which would end it: every lane of z0 to z30
//! counts, every word of ZA grows by the word of z31 above it, and p1 to p15 keep their values.

use super::{Feature, PR_SME_SET_VL, VL_MASK, prctl};
use crate::fp::helpers::{counted, spinning_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads computing in streaming mode with the array ZA all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

/// The requested streaming vector length in bytes, and the longest that the buffers can hold.
const ASKED: u64 = 64;
const ROOM: usize = 64;

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Sme.here() {
        return skip("the processor or the kernel has no SME");
    }
    if prctl(PR_SME_SET_VL, ASKED, 0)? & VL_MASK > ROOM as u64 {
        return skip("the shortest streaming vector is longer than 64 bytes");
    }
    spinning_threads(cx, 3, |spinning| {
        let len = (prctl(PR_SME_SET_VL, ASKED >> spinning.number, 0)? & VL_MASK) as usize;
        let mut rng = Rng::new(spinning.key);
        let mut array: [u32; ROOM * ROOM / 4] = std::array::from_fn(|_| rng.word() as u32);
        let mut z: [u64; 32 * ROOM / 8] = std::array::from_fn(|_| rng.word());
        let mut p = pattern::bytes(16 * ROOM / 8, spinning.key);
        let (array_start, z_start, p_start, mut rounds) = (array, z, p.clone(), 0u64);
        // SAFETY: the processor has SME, and the buffers hold its registers at this length and at
        // any shorter one.
        unsafe {
            count(array.as_mut_ptr(), z.as_mut_ptr(), p.as_mut_ptr(), spinning.start(), &mut rounds);
        }
        let (lanes, used) = (len / 8, 31 * len / 8);
        counted("z registers", &z[..used], &z_start[..used], |lane| (lane / lanes + 1) as u64, rounds)?;
        let steps = &z_start[used..used + lanes];
        expect_eq("z31", &z[used..used + lanes], steps)?;
        expect_bytes("predicates", &p[len / 8..2 * len], &p_start[len / 8..2 * len])?;
        for (index, (now, start)) in array.iter().zip(array_start).take(len * len / 4).enumerate() {
            let column = index % (len / 4);
            let step = (steps[column / 2] >> (32 * (column % 2))) as u32;
            let want = start.wrapping_add(step.wrapping_mul(rounds as u32));
            expect_eq(&format!("word {index} of ZA of {len} rows after {rounds} rounds"), *now, want)?;
        }
        Ok(())
    })
}

/// Enters streaming mode, loads ZA, z0–z31 and p1–p15, computes until `*stop` is not 0, stores all
/// of them and the number of rounds, and leaves streaming mode. No more than the low halves of v8
/// to v15 are the caller's.
#[unsafe(naked)]
unsafe extern "C" fn count(za: *mut u32, z: *mut u64, p: *mut u8, stop: *const u32, rounds: *mut u64) {
    std::arch::naked_asm!(
        ".arch_extension sve",
        ".arch_extension sme",
        "stp d8, d9, [sp, #-64]!",
        "stp d10, d11, [sp, #16]",
        "stp d12, d13, [sp, #32]",
        "stp d14, d15, [sp, #48]",
        "smstart",
        "rdsvl x9, #1",
        "mov w12, #0",
        "mov x10, x0",
        "2:",
        "ldr za[w12, 0], [x10]",
        "add x10, x10, x9",
        "add w12, w12, #1",
        "cmp w12, w9",
        "b.lo 2b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"ldr p\n, [x2, #\n, mul vl]",
        r"ldr z\n, [x1, #\n, mul vl]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"ldr z\n, [x1, #\n, mul vl]",
        ".endr",
        "ptrue p0.b",
        "mov x5, #0",
        "3:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"add z\n\().d, z\n\().d, #(\n + 1)",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"add z\n\().d, z\n\().d, #(\n + 1)",
        ".endr",
        "addha za0.s, p0/m, p0/m, z31.s",
        "addha za1.s, p0/m, p0/m, z31.s",
        "addha za2.s, p0/m, p0/m, z31.s",
        "addha za3.s, p0/m, p0/m, z31.s",
        "add x5, x5, #1",
        "ldr w6, [x3]",
        "cbz w6, 3b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"str p\n, [x2, #\n, mul vl]",
        r"str z\n, [x1, #\n, mul vl]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"str z\n, [x1, #\n, mul vl]",
        ".endr",
        "rdsvl x9, #1",
        "mov w12, #0",
        "mov x10, x0",
        "4:",
        "str za[w12, 0], [x10]",
        "add x10, x10, x9",
        "add w12, w12, #1",
        "cmp w12, w9",
        "b.lo 4b",
        "smstop",
        "str x5, [x4]",
        "ldp d10, d11, [sp, #16]",
        "ldp d12, d13, [sp, #32]",
        "ldp d14, d15, [sp, #48]",
        "ldp d8, d9, [sp], #64",
        "ret",
    )
}
