//! The smallest process with threads.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "two threads, one blocked", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    super::crowd::blocked_crowd(cx, 1)
}
