//! Two processes use the same ring in turn.

use super::helpers::{NOP, Request, Ring};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring that a parent and its child use in turn",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, mut ring) = (Stage::new()?, Ring::new(4)?);
    ring.spin(5, 0)?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        expect_eq("completion", ring.take(), Some((1, 0)))?;
        ring.queued += 1;
        ring.spin(10, 0)
    })?;

    cx.ready()?;

    expect_eq("done", ring.done(), (5, 5))?;
    ring.queue(Request { opcode: NOP, word: 1, ..Request::default() })?;
    expect_eq("submitted", ring.enter(1, 0)?, 1)?;
    stage.release();
    child.join()?;
    expect_eq("done", ring.done(), (16, 16))
}
