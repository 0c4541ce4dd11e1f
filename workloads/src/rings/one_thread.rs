//! Rings that answer the thread that has made them only, and run its work when it asks.

use super::helpers::{DEFER_TASKRUN, Ring, SINGLE_ISSUER, require};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "io_urings for one thread each (SINGLE_ISSUER, DEFER_TASKRUN)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(SINGLE_ISSUER | DEFER_TASKRUN)?;
    let stage = Stage::new()?;
    let child = stage.fork("another", |stage| {
        let mut ring = Ring::with_flags(4, SINGLE_ISSUER)?;
        ring.spin(3, 1)?;
        stage.hold();
        expect_eq("completion", ring.take(), Some((2, 0)))?;
        ring.spin(20, 0)
    })?;
    let mut ring = Ring::with_flags(8, SINGLE_ISSUER | DEFER_TASKRUN)?;
    ring.spin(17, 0)?;

    cx.ready()?;

    ring.spin(30, 0)?;
    stage.release();
    child.join()
}
