//! Several processes, each with a ring of its own.

use super::helpers::{Ring, require};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "io_urings of several processes, each at another point",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(0)?;
    let stage = Stage::new()?;
    let children = (1..6).map(|number| {
        stage.fork("with a ring", move |stage| {
            let mut ring = Ring::new(1 << number)?;
            ring.spin(number * 100, number)?;
            stage.hold();
            for left in 0..number {
                let word = u64::from(number * 100 - number + left);
                expect_eq("completion", ring.take(), Some((word, 0)))?;
            }
            ring.spin(50, 0)
        })
    });
    let children = children.collect::<anyhow::Result<Vec<_>>>()?;

    cx.ready()?;

    stage.release();
    children.into_iter().try_for_each(Child::join)
}
