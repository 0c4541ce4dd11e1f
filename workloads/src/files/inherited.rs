//! A file opened before fork is one description in parent and children, under whatever number.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "open file descriptions shared between processes, under other numbers too",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make("file", 5000, cx.seed)?;
    let turn = |n: u32| stage.shared().cell(1).wait("the other process", n);
    let child = stage.fork("the child", |stage| {
        let moved = fd::dup_to(&file, 200, libc::O_CLOEXEC)?;
        // SAFETY: the copy of the parent's descriptor belongs to this process and is not used
        // again.
        unsafe { libc::close(file.as_raw_fd()) };
        let grandchild = stage.fork("the grandchild", |stage| {
            stage.hold();
            turn(2)?;
            expect_eq("offset in the grandchild", fd::offset(&moved)?, 777)
        })?;
        stage.hold();
        turn(1)?;
        expect_eq("offset in the child", fd::offset(&moved)?, 500)?;
        fd::seek(&moved, 777, libc::SEEK_SET)?;
        stage.shared().cell(1).set(2);
        grandchild.join()
    })?;
    fd::read_all(&file, 123)?;

    cx.ready()?;

    expect_eq("offset", fd::offset(&file)?, 123)?;
    fd::seek(&file, 500, libc::SEEK_SET)?;
    stage.release();
    stage.shared().cell(1).set(1);
    child.join()?;
    expect_eq("offset that the child left", fd::offset(&file)?, 777)
}
