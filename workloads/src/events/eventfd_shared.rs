//! One eventfd under several numbers and in several processes, and others with the same count.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "which descriptors of parent, child and grandchild are one eventfd, and which are not",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let shared = helpers::eventfd(3, libc::EFD_NONBLOCK)?;
    let other = helpers::eventfd(3, libc::EFD_NONBLOCK)?;
    let turn = |n: u32| stage.shared().cell(1).wait("the other process", n);
    let child = stage.fork("the child", |stage| {
        let moved = fd::dup_to(&shared, 200, libc::O_CLOEXEC)?;
        let own = helpers::eventfd(3, libc::EFD_NONBLOCK)?;
        let grandchild = stage.fork("the grandchild", |stage| {
            stage.hold();
            turn(2)?;
            expect_eq("shared, in the grandchild", helpers::take(&moved)?, 13u64)?;
            expect_eq("the child's own", helpers::take(&own)?, 3u64)
        })?;
        stage.hold();
        turn(1)?;
        expect_eq("the other one", helpers::take(&other)?, 3u64)?;
        helpers::add(&moved, 5)?;
        stage.shared().cell(1).set(2);
        grandchild.join()?;
        expect_eq("after the grandchild", fd::errno("read", helpers::take(&own))?, libc::EAGAIN)
    })?;

    cx.ready()?;

    helpers::add(&shared, 5)?;
    stage.release();
    stage.shared().cell(1).set(1);
    child.join()?;
    expect_eq("shared", fd::errno("read", helpers::take(&shared))?, libc::EAGAIN)?;
    expect_eq("the other one", fd::errno("read", helpers::take(&other))?, libc::EAGAIN)
}
