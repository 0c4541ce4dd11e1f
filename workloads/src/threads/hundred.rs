//! Enough threads to expose quadratic behaviour.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a hundred blocked threads", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    super::crowd::blocked_crowd(cx, 100)
}
