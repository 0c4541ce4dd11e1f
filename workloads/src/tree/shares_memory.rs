//! A child by clone(2) with CLONE_VM has the memory of its parent, and signal actions of its own.

use super::in_one_memory::{ANSWER, SIGNAL, is_ignored, start};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process that shares the memory of its parent, and nothing else (CLONE_VM)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let twin = start(0, cx.seed)?;

    cx.ready()?;

    twin.answer(cx.seed)?;
    twin.child.join_as(ANSWER)?;
    expect_eq("whether the parent ignores the signal", is_ignored(SIGNAL)?, false)
}
