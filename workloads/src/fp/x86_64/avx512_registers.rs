//! zmm0 to zmm31 and k0 to k7 of four threads.

use super::over_read;
use crate::fp::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the thirty-two AVX-512 registers and the eight masks",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    if !std::is_x86_feature_detected!("avx512f") || !std::is_x86_feature_detected!("avx512bw") {
        return skip("the processor has no AVX-512 with 64-bit masks");
    }
    helpers::blocked_threads(cx, 4, |blocked| helpers::unchanged::<2112>(blocked, over_read::avx512))
}
