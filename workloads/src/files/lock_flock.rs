//! flock(2): locks that belong to an open file description, and a process that waits for one.

use super::helpers::{self, flock};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd;

pub const WORKLOAD: Workload = Workload {
    purpose: "flock: exclusive, shared, by dup and fork, of a directory and a memfd, and waited for",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn is_locked_for(file: &impl AsRawFd, how: i32) -> anyhow::Result<bool> {
    match flock(file, how | libc::LOCK_NB) {
        Ok(_) => flock(file, libc::LOCK_UN).map(|_| false),
        Err(err) if sys::errno_in(&err) == Some(libc::EWOULDBLOCK) => Ok(true),
        Err(err) => Err(err),
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let open = |path| fd::open(path, libc::O_RDWR | libc::O_CREAT, 0o644);
    let (whole, shared, waited) = (open("whole")?, open("shared")?, open("waited")?);
    std::fs::create_dir("directory").context("mkdir")?;
    let directory = fd::open("directory", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let memory = helpers::memfd(c"locked", 0)?;
    for file in [&whole, &directory, &memory, &waited] {
        flock(file, libc::LOCK_EX)?;
    }
    flock(&shared, libc::LOCK_SH)?;
    let copy = fd::dup(&whole)?;
    let child = stage.fork("the child", |stage| {
        // What it has inherited is the same lock, and what it opens is not.
        let rival = open("shared")?;
        flock(&rival, libc::LOCK_SH)?;
        stage.hold();
        flock(&copy, libc::LOCK_EX | libc::LOCK_NB)?;
        expect(is_locked_for(&rival, libc::LOCK_EX)?, || "the other lock of the shared file is gone".into())
    })?;
    stage.wait_held(&child)?;
    let waiter = fork("the waiter", || {
        let own = open("waited")?;
        flock(&own, libc::LOCK_EX).map(drop)
    })?;
    stage.wait_in(&waiter, libc::SYS_flock)?;

    cx.ready()?;

    for (path, how, locked) in [
        ("whole", libc::LOCK_SH, true),
        ("directory", libc::LOCK_SH, true),
        ("shared", libc::LOCK_SH, false),
        ("shared", libc::LOCK_EX, true),
        ("waited", libc::LOCK_SH, true),
    ] {
        let rival = fd::open(path, libc::O_RDONLY, 0)?;
        expect_eq(&format!("{path} is locked for {how}"), is_locked_for(&rival, how)?, locked)?;
    }
    let rival = fd::open(format!("/proc/self/fd/{}", memory.as_raw_fd()), libc::O_RDONLY, 0)?;
    expect(is_locked_for(&rival, libc::LOCK_SH)?, || "the memfd is not locked".into())?;
    stage.wait_in(&waiter, libc::SYS_flock)?;
    flock(&waited, libc::LOCK_UN)?;
    waiter.join()?;
    stage.release();
    child.join()?;
    // One unlock through any copy is enough.
    flock(&copy, libc::LOCK_UN)?;
    let rival = fd::open("whole", libc::O_RDONLY, 0)?;
    expect(!is_locked_for(&rival, libc::LOCK_EX)?, || "unlocked through the copy, and still locked".into())
}
