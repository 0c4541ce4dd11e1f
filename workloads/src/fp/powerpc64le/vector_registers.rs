//! v0 to v31 of four threads that use no floating point.

use super::over_read;
use crate::fp::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "the thirty-two VMX registers", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    helpers::blocked_threads(cx, 4, |blocked| helpers::unchanged::<512>(blocked, over_read::vector))
}
