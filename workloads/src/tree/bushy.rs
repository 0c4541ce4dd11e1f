//! A tree three levels deep with three branches at each fork.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "39 processes in three generations, every parent link and every exit status",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn node(stage: &Stage, level: u32, branch: i32, parent: libc::pid_t) -> Outcome {
    let me = sys::getpid();
    let mut children = Vec::new();
    if level < 3 {
        for branch in 0..3 {
            children.push(stage.fork("a node", |stage| node(stage, level + 1, branch, me))?);
        }
    }
    stage.hold();
    expect_eq("parent", helpers::parent(), parent)?;
    for (branch, child) in children.into_iter().enumerate() {
        child.join_as(10 + branch as i32)?;
    }
    helpers::exit(10 + branch)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let me = sys::getpid();
    let mut children = Vec::new();
    for branch in 0..3 {
        children.push(stage.fork("a node", |stage| node(stage, 1, branch, me))?);
    }

    cx.ready()?;

    stage.release();
    for (branch, child) in children.into_iter().enumerate() {
        child.join_as(10 + branch as i32)?;
    }
    Ok(())
}
