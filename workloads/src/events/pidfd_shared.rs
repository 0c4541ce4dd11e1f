//! One pidfd under several numbers and in several processes, and more of the same process than one
//! message can carry.

use super::helpers::{pidfd, refers_to};
use crate::framework::prelude::*;
use std::os::fd::OwnedFd;

pub const WORKLOAD: Workload = Workload {
    purpose: "which pidfds of parent, child and grandchild are one, and which are not; hundreds of them",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const MANY: usize = 300;

fn nonblocking(fd: &OwnedFd) -> anyhow::Result<bool> {
    Ok(fd::flags(fd)? & libc::O_NONBLOCK != 0)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let us = sys::getpid();
    let (shared, other) = (pidfd(us, 0)?, pidfd(us, 0)?);
    let again = fd::dup_to(&shared, 700, 0)?;
    let many: Vec<OwnedFd> = (0..MANY)
        .map(|at| pidfd(us, if at % 3 == 0 { libc::O_NONBLOCK } else { 0 }))
        .collect::<Result<_, _>>()?;
    let turn = |n: u32| stage.shared().cell(1).wait("the other process", n);
    let child = stage.fork("the child", |stage| {
        let moved = fd::dup_to(&shared, 900, libc::O_CLOEXEC)?;
        let own = pidfd(sys::getpid(), 0)?;
        let child = sys::getpid();
        let grandchild = stage.fork("the grandchild", |stage| {
            stage.hold();
            turn(2)?;
            expect_eq("the child's, in the grandchild", refers_to(&own)?, child)?;
            expect(nonblocking(&moved)?, || "the grandchild shares the flags".into())
        })?;
        stage.hold();
        turn(1)?;
        expect_eq("shared, in the child", refers_to(&moved)?, us)?;
        fd::fcntl(&moved, libc::F_SETFL, libc::O_NONBLOCK)?;
        stage.shared().cell(1).set(2);
        grandchild.join()?;
        expect(!nonblocking(&own)?, || "the child's own has flags of its own".into())
    })?;

    cx.ready()?;

    expect_eq("shared", (refers_to(&shared)?, refers_to(&again)?), (us, us))?;
    stage.release();
    stage.shared().cell(1).set(1);
    child.join()?;
    expect(nonblocking(&shared)? && nonblocking(&again)?, || "the parent shares the flags".into())?;
    expect(!nonblocking(&other)?, || "the other one has flags of its own".into())?;
    expect_eq("closed on exec", (fd::cloexec(&shared)?, fd::cloexec(&again)?), (true, false))?;
    for (at, one) in many.iter().enumerate() {
        expect_eq(&format!("number {at}"), (refers_to(one)?, nonblocking(one)?), (us, at % 3 == 0))?;
    }
    Ok(())
}
