//! Connections both of whose directions have ended, with bytes that were not read.

use super::helpers::{await_end, end, expect_end, pair, receive, send, state};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP connections that are over, but not closed: what was not read, the address",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

/// include/net/tcp_states.h
const CLOSE: i32 = 7;

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = pair()?;
    send(&one, b"last words")?;
    end(&one)?;
    await_end(&other)?;
    end(&other)?;
    let are_over = || Ok((state(&one)?, state(&other)?) == (CLOSE, CLOSE));
    sync::wait_until("the connection to be over", are_over)?;
    let before = (one.local_addr()?, other.local_addr()?);

    cx.ready()?;

    expect_eq("addresses", (one.local_addr()?, other.local_addr()?), before)?;
    expect_eq("states", (state(&one)?, state(&other)?), (CLOSE, CLOSE))?;
    let want = libc::POLLHUP | libc::POLLRDHUP;
    expect_eq("ready", fd::ready_for(&one, libc::POLLRDHUP)?, want)?;
    expect_bytes("what was not read", &receive(&other, 10)?, b"last words")?;
    expect_end(&other)?;
    expect_end(&one)?;
    expect_eq("sending", fd::errno("send", send(&other, b"x"))?, libc::EPIPE)
}
