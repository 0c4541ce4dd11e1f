//! A chain of ten processes, each the child of the one before.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "ten generations, each with its parent",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn generation(stage: &Stage, left: u32, parent: libc::pid_t) -> Outcome {
    let me = sys::getpid();
    let child = match left {
        0 => None,
        _ => Some(stage.fork("a descendant", |stage| generation(stage, left - 1, me))?),
    };
    stage.hold();
    expect_eq("pid", sys::getpid(), me)?;
    expect_eq("parent", helpers::parent(), parent)?;
    child.map_or(Ok(()), Child::join)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let me = sys::getpid();
    let child = stage.fork("a descendant", |stage| generation(stage, 9, me))?;

    cx.ready()?;

    stage.release();
    child.join()
}
