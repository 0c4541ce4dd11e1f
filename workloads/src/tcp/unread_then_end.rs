//! Bytes that were not read, and after them the end of the stream.

use super::helpers::{await_end, end, expect_end, pair, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "unread bytes and the end of the stream in a TCP connection",
    needs: &[Need::Root],
    // The window that is offered may grow by the byte that the end of the stream took.
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = pair()?;
    send(&one, b"last words")?;
    end(&one)?;
    await_end(&other)?;

    cx.ready()?;

    await_end(&other)?;
    expect_eq("bytes", fd::available(&other)?, 10)?;
    expect_bytes("what was not read", &receive(&other, 10)?, b"last words")?;
    expect_end(&other)?;
    expect_end(&other)?;
    send(&other, b"answer")?;
    expect_bytes("the other direction", &receive(&one, 6)?, b"answer")
}
