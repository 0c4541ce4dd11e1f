//! A process is blocked in writing to a socket whose queue is full. (In motion: a stop ends the
//! call with what it has written so far, and the next one finds room for a few bytes.)

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in the middle of a long write to a full socket; nothing is lost or doubled",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const LEN: usize = 3 << 20;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let key = cx.seed;
    let writer = fork("the writer", || fd::write_all(&one, &pattern::bytes(LEN, key)))?;
    drop(one);
    stage.wait_in(&writer, libc::SYS_write)?;

    cx.ready()?;

    pattern::verify("all of it", &fd::read_all(&other, LEN)?, key)?;
    writer.join()?;
    expect_bytes("the end", &fd::read_some(&other, 1)?, b"")
}
