//! Completions that nobody has taken yet, around the end of the queue.

use super::helpers::{Ring, require};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "completions in an io_uring that were not taken yet",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(0)?;
    let stage = Stage::new()?;
    let child = stage.fork("with a full queue", |stage| {
        let mut ring = Ring::new(4)?;
        ring.spin(8, 8)?;
        stage.hold();
        for number in 0..8 {
            expect_eq("completion", ring.take(), Some((number, 0)))?;
        }
        expect_eq("another", ring.take(), None)?;
        ring.spin(20, 0)
    })?;
    let mut some = Ring::new(8)?;
    some.spin(45, 7)?;

    cx.ready()?;

    for number in 38..45 {
        expect_eq("completion", some.take(), Some((number, 0)))?;
    }
    expect_eq("another", some.take(), None)?;
    some.spin(50, 0)?;
    stage.release();
    child.join()
}
