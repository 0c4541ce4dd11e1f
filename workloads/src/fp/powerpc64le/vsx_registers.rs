//! vs0 to vs63 of six threads: the floating-point and VMX registers, and the halves that are in
//! neither.

use super::over_read;
use crate::fp::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "the sixty-four VSX registers", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    helpers::blocked_threads(cx, 6, |blocked| helpers::unchanged::<1024>(blocked, over_read::vsx))
}
