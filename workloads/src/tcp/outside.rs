//! A connection to a process outside, with what was not read and all that its queues can hold.

use super::helpers::{await_bytes, drain, end, expect_end, fill, receive, send};
use super::partner::{answer, ask, partner, say};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection to a process outside, with full queues and bytes that were not read",
    needs: &[Need::Root],
    // What was sent of the queue changes while the other end says that it has no room.
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    play(cx, "127.0.0.1")
}

pub fn play(cx: &mut Ctx, address: &str) -> Outcome {
    let (seed, sign) = (cx.seed, cx.dir.join("sign"));
    let (stream, partner) = partner(cx, address, |peer| {
        send(&peer, &pattern::bytes(300, !seed))?;
        sync::wait_until("the sign to read on", || Ok(sign.exists()))?;
        let len = std::fs::read_to_string(&sign)?.parse()?;
        drain(&peer, len, seed)?;
        answer(&peer, seed)?;
        expect_end(&peer)
    })?;
    await_bytes(&stream, 300)?;
    expect_bytes("the first ones", &receive(&stream, 100)?, &pattern::bytes(300, !seed)[..100])?;
    let len = fill(&stream, seed)?;
    let names = [stream.local_addr()?, stream.peer_addr()?];

    cx.ready()?;

    expect_eq("addresses", [stream.local_addr()?, stream.peer_addr()?], names)?;
    expect_eq("bytes", fd::available(&stream)?, 200)?;
    say(&sign, &len.to_string())?;
    expect_bytes("the rest", &receive(&stream, 200)?, &pattern::bytes(300, !seed)[100..])?;
    ask(&stream, seed)?;
    end(&stream)?;
    expect_end(&stream)?;
    partner.join()
}
