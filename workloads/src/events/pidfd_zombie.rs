//! A pidfd of a child that has ended and was not waited for.

use super::helpers::{has_ended, pidfd, refers_to};
use crate::framework::prelude::*;
use crate::tree::helpers::wait_zombie;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pidfd of a zombie tells of its end, and another process has it, too",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let zombie = fork("the zombie", || child::exit(7))?;
    wait_zombie(zombie.pid)?;
    let ended = pidfd(zombie.pid, 0)?;
    let pid = zombie.pid;
    let sibling = stage.fork("the sibling", |stage| {
        stage.hold();
        expect_eq("whose it is, in the sibling", refers_to(&ended)?, pid)?;
        expect(has_ended(&ended)?, || "it tells of the end in the sibling".into())
    })?;

    cx.ready()?;

    expect_eq("whose it is", refers_to(&ended)?, pid)?;
    expect(has_ended(&ended)?, || "it tells of the end".into())?;
    stage.release();
    sibling.join()?;
    zombie.join_as(7)
}
