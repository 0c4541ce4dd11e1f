//! Connections whose other ends, outside, have ended their streams, and one that has ended its own.

use super::helpers::{await_bytes, await_end, end, expect_end, receive, send};
use super::partner::{answer, ask, partner};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection to a process outside that has ended its stream, with bytes that were not read",
    needs: &[Need::Root],
    // The window that is offered may grow by the byte that the end of the stream took.
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let (stream, partner) = partner(cx, "127.0.0.1", |peer| {
        answer(&peer, seed)?;
        send(&peer, b"last words")?;
        end(&peer)?;
        pattern::verify("what comes after the end", &receive(&peer, 50_000)?, seed)?;
        expect_end(&peer)
    })?;
    ask(&stream, seed)?;
    await_bytes(&stream, 10)?;
    await_end(&stream)?;

    cx.ready()?;

    expect_bytes("what was not read", &receive(&stream, 10)?, b"last words")?;
    expect_end(&stream)?;
    send(&stream, &pattern::bytes(50_000, seed))?;
    end(&stream)?;
    partner.join()
}
