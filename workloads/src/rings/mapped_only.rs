//! A child has its parent's ring mapped, and has closed the descriptor.

use super::helpers::{Ring, require};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring that a child has mapped and of which only its parent has a descriptor",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(0)?;
    let stage = Stage::new()?;
    let (mut ring, mut other) = (Ring::new(4)?, Ring::new(4)?);
    if fd::stat(&ring.fd)?.st_ino == fd::stat(&other.fd)?.st_ino {
        skip("rings do not have inodes of their own here (before Linux 5.16)")?;
    }
    ring.spin(7, 2)?;
    other.spin(3, 0)?;
    let child = stage.fork("the child", |stage| {
        // SAFETY: the child does not use it any more, nor ends by dropping it.
        unsafe { libc::close(ring.fd.as_raw_fd()) };
        stage.hold();
        expect_eq("done", (ring.done(), other.done()), ((7, 7), (3, 3)))?;
        expect_eq("completions", [ring.take(), ring.take()], [Some((5, 0)), Some((6, 0))])?;
        expect_eq("another", ring.take(), None)
    })?;

    cx.ready()?;

    stage.release();
    child.join()?;
    expect_eq("taken by the child", ring.take(), None)?;
    ring.spin(20, 0)?;
    other.spin(20, 0)
}
