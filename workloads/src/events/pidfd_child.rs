//! pidfds between a parent and its child, and of the parent itself.

use super::helpers::{has_ended, pidfd, refers_to, send};
use crate::framework::prelude::*;
use crate::tree::helpers::waitid;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "pidfds of a child, of the parent and of oneself: whom they signal, and that they tell of the end",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let us = sys::getpid();
    let child = stage.fork("the child", |stage| {
        let parent = pidfd(us, libc::O_NONBLOCK)?;
        stage.hold();
        expect_eq("whose it is", refers_to(&parent)?, us)?;
        send(&parent, 0)?;
        expect(!has_ended(&parent)?, || "the parent has not ended".into())?;
        // Until the parent sends what ends it.
        stage.shared().cell(1).block_until(1);
        Ok(())
    })?;
    let of_child = pidfd(child.pid, 0)?;
    let of_us = pidfd(us, libc::O_NONBLOCK)?;
    fd::fcntl(&of_us, libc::F_SETFD, 0)?;

    cx.ready()?;

    expect_eq("whose the first is", refers_to(&of_child)?, child.pid)?;
    expect_eq("whose the second is", refers_to(&of_us)?, us)?;
    expect_eq("flags of the first", fd::flags(&of_child)? & libc::O_NONBLOCK, 0)?;
    expect_eq("flags of the second", fd::flags(&of_us)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
    expect_eq("closed on exec", (fd::cloexec(&of_child)?, fd::cloexec(&of_us)?), (true, false))?;
    send(&of_us, 0)?;
    stage.release();
    expect(!has_ended(&of_child)?, || "the child has not ended".into())?;
    send(&of_child, libc::SIGKILL)?;
    let end = waitid(P_PIDFD, of_child.as_raw_fd(), libc::WEXITED | libc::WNOWAIT)?;
    expect_eq("how it ended", end, Some((libc::CLD_KILLED, libc::SIGKILL, child.pid)))?;
    expect(has_ended(&of_child)?, || "the pidfd tells of the end".into())?;
    child.join_killed(libc::SIGKILL)
}

/// include/uapi/linux/wait.h
const P_PIDFD: libc::idtype_t = 3;
