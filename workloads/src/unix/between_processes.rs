//! A socket pair between two children; their parent has neither end.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "a connection between two children that the parent has closed, with data on its way",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let key = cx.seed;
    let first = stage.fork("the first", |stage| {
        fd::write_all(&one, &pattern::bytes(3000, key))?;
        stage.hold();
        fd::write_all(&one, &pattern::bytes(100_000, key + 1))?;
        pattern::verify("back", &fd::read_all(&one, 50_000)?, key + 2)
    })?;
    let second = stage.fork("the second", |stage| {
        stage.hold();
        pattern::verify("before", &fd::read_all(&other, 3000)?, key)?;
        pattern::verify("after", &fd::read_all(&other, 100_000)?, key + 1)?;
        fd::write_all(&other, &pattern::bytes(50_000, key + 2))
    })?;
    drop((one, other));
    stage.wait_held(&first)?;
    stage.wait_held(&second)?;

    cx.ready()?;

    stage.release();
    first.join()?;
    second.join()
}
