//! ymm0 to ymm15 of six threads: the upper halves are not in the state that fxsave stores.

use super::over_read;
use crate::fp::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the sixteen AVX registers with their upper halves",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    if !std::is_x86_feature_detected!("avx") {
        return skip("the processor has no AVX");
    }
    helpers::blocked_threads(cx, 6, |blocked| helpers::unchanged::<512>(blocked, over_read::avx))
}
