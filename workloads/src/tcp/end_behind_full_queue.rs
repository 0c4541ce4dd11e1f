//! An end of a stream that cannot be sent yet: the other end reads nothing.

use super::helpers::{drain, end, expect_end, fill, pair, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the end of a TCP stream that waits behind bytes for which there is no room",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = pair()?;
    let sent = fill(&one, cx.seed)?;
    end(&one)?;
    expect_eq("the end has arrived", fd::ready_for(&other, libc::POLLRDHUP)?, 0)?;

    cx.ready()?;

    expect_eq("after the end", fd::errno("send", send(&one, b"x"))?, libc::EPIPE)?;
    drain(&other, sent, cx.seed)?;
    expect_end(&other)?;
    send(&other, b"answer")?;
    expect_bytes("the other direction", &receive(&one, 6)?, b"answer")
}
