//! xmm0 to xmm15 of six threads, each with its own values.

use super::over_read;
use crate::fp::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the sixteen SSE registers over a blocked system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    helpers::blocked_threads(cx, 6, |blocked| helpers::unchanged::<256>(blocked, over_read::sse))
}
