//! More threads than processors.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "sixteen blocked threads, each with its own number, stack and thread-local data",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    super::crowd::blocked_crowd(cx, 16)
}
