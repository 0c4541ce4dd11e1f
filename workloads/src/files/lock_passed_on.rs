//! A lock of flock(2) that only a child still holds, and one of which parent and child have a
//! descriptor each.

use super::helpers::{flock, remove};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "flock locks that fork and dup have passed on",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let open = |name: &str| fd::open(name, libc::O_RDWR | libc::O_CREAT, 0o600);
    let (left, both) = (open("left")?, open("both")?);
    flock(&left, libc::LOCK_EX)?;
    flock(&both, libc::LOCK_EX)?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        flock(&both, libc::LOCK_UN)?;
        flock(&left, libc::LOCK_SH).map(drop)
    })?;
    drop(left);
    let copy = fd::dup(&both)?;
    drop(both);

    cx.ready()?;

    let blocked = |name: &str, how: i32| -> anyhow::Result<bool> {
        Ok(sys::errno_of(flock(&open(name)?, how | libc::LOCK_NB).unwrap_or(-1)).is_some())
    };
    expect_eq("locked", (blocked("left", libc::LOCK_SH)?, blocked("both", libc::LOCK_SH)?), (true, true))?;
    stage.release();
    child.join()?;
    expect_eq("locked", (blocked("left", libc::LOCK_EX)?, blocked("both", libc::LOCK_EX)?), (false, false))?;
    flock(&copy, libc::LOCK_EX)?;
    remove("left")
}
