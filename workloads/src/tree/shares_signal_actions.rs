//! A child by clone(2) with CLONE_VM and CLONE_SIGHAND: an action that it sets is its parent's,
//! too.

use super::in_one_memory::{ANSWER, SIGNAL, is_ignored, start};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process that shares memory and signal actions of its parent (CLONE_SIGHAND)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let twin = start(libc::CLONE_SIGHAND, cx.seed)?;

    cx.ready()?;

    twin.answer(cx.seed)?;
    twin.child.join_as(ANSWER)?;
    expect_eq("whether the parent ignores the signal", is_ignored(SIGNAL)?, true)
}
