//! The array ZA is as large as the square of the streaming vector length, which is per
//! thread. A system call keeps it; it is not made in streaming mode.

use super::{Feature, PR_SME_SET_VL, VL_MASK, over_read, prctl};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the array ZA over a blocked system call, with several streaming vector lengths",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bytes of ZA with vectors of 64 bytes.
const LARGEST: usize = 64 * 64;

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Sme.here() {
        return skip("the processor or the kernel has no SME");
    }
    if prctl(PR_SME_SET_VL, 64, 0)? & VL_MASK > 64 {
        return skip("the shortest streaming vector is longer than 64 bytes");
    }
    blocked_threads(cx, 4, |blocked| {
        let len = (prctl(PR_SME_SET_VL, [64, 32, 16, 64][blocked.number as usize], 0)? & VL_MASK) as usize;
        let mut input = Aligned([0; LARGEST]);
        pattern::fill(&mut input.0, blocked.key);
        let output = blocked.through(over_read::za, &input)?;
        let used = (len * len).min(LARGEST);
        expect_bytes(&format!("ZA of {len} rows"), &output.0[..used], &input.0[..used])
    })
}
