//! Sockets that signal their process when something arrives (O_ASYNC).

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "O_ASYNC, its owner and its signal at sockets, with data in their queues: no signal at a restart",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[libc::SIGIO, 40])?;
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    helpers::send(&one, b"before")?;
    // fcntl(2): F_SETSIG
    fd::fcntl(&other, 10, 40)?;
    fd::fcntl(&other, libc::F_SETOWN, std::process::id() as i32)?;
    fd::fcntl(&other, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK)?;
    let facts = || -> anyhow::Result<_> {
        Ok((fd::flags(&other)?, fd::fcntl(&other, 11, 0)?, fd::fcntl(&other, libc::F_GETOWN, 0)?))
    };
    let want = facts()?;
    expect_eq("pending before", signal::pending()?, 0)?;

    cx.ready()?;

    expect_eq("flags, signal and owner", facts()?, want)?;
    expect_eq("pending", signal::pending()?, 0)?;
    expect_bytes("what was there", &helpers::receive(&other)?, b"before")?;
    helpers::send(&one, b"now")?;
    expect(signal::pending()? & (1 << 39) != 0, || "no signal came".into())
}
