//! A pair of stream sockets with data on its way in both directions.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "bytes that wait in both directions of a pair of stream sockets",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::SOCK_NONBLOCK)?;
    for part in 0..40 {
        helpers::send(&one, &pattern::bytes(123, cx.seed + part))?;
    }
    helpers::send(&other, b"back")?;
    let flags = (fd::flags(&one)?, fd::flags(&other)?);

    cx.ready()?;

    expect_eq("flags", (fd::flags(&one)?, fd::flags(&other)?), flags)?;
    expect_eq("bytes that wait", fd::available(&other)?, 40 * 123)?;
    helpers::send(&one, b"more")?;
    for part in 0..40 {
        pattern::verify(&format!("part {part}"), &fd::read_all(&other, 123)?, cx.seed + part)?;
    }
    expect_bytes("what was sent afterwards", &fd::read_some(&other, 100)?, b"more")?;
    expect_bytes("the way back", &fd::read_some(&one, 100)?, b"back")?;
    helpers::nothing_left("one way", &other)?;
    helpers::nothing_left("the other way", &one)?;
    drop(one);
    expect_bytes("the end", &fd::read_some(&other, 1)?, b"")
}
