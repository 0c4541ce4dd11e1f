//! The vector length is per thread. A system call preserves the parts of the registers shared with
//! the SIMD registers, whatever the length.

use super::{Feature, PR_SVE_GET_VL, PR_SVE_SET_VL, VL_INHERIT, over_read, prctl};
use crate::fp::helpers::{blocked_threads, unchanged};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "SVE vector lengths by thread, and whether an exec keeps them",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Requested lengths, of which the kernel sets the next available one. And the flag.
const ASKED: [u64; 5] = [16, 32 | VL_INHERIT, 64, 128 | VL_INHERIT, 256];

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Sve.here() {
        return skip("the processor has no SVE");
    }
    prctl(PR_SVE_SET_VL, ASKED[1], 0)?;
    let want = prctl(PR_SVE_GET_VL, 0, 0)?;
    blocked_threads(cx, 2 * ASKED.len() as u64, |blocked| {
        prctl(PR_SVE_SET_VL, ASKED[blocked.number as usize % ASKED.len()], 0)?;
        let want = prctl(PR_SVE_GET_VL, 0, 0)?;
        // Half of the threads have used SVE when they block.
        if blocked.number >= ASKED.len() as u64 {
            use_sve();
        }
        unchanged::<512>(blocked, over_read::simd)?;
        expect_eq("vector length and its flag", prctl(PR_SVE_GET_VL, 0, 0)?, want)
    })?;
    expect_eq("vector length and its flag of the main thread", prctl(PR_SVE_GET_VL, 0, 0)?, want)?;
    let heir = thread::spawn(move || {
        expect_eq("vector length and its flag of a new thread", prctl(PR_SVE_GET_VL, 0, 0)?, want)
    })?;
    heir.join()
}

/// One instruction that only SVE has.
fn use_sve() {
    // SAFETY: the processor has SVE; compiled code does not use the predicates.
    unsafe { std::arch::asm!(".arch_extension sve", "ptrue p0.b", options(nomem, nostack)) };
}
