//! A connection to a process outside, of which the job has ended its own stream.

use super::helpers::{end, expect_end, receive, send};
use super::partner::{answer, ask, partner, say};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection whose stream to a process outside has ended",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (seed, sign) = (cx.seed, cx.dir.join("sign"));
    let (stream, partner) = partner(cx, "127.0.0.1", |peer| {
        answer(&peer, seed)?;
        expect_end(&peer)?;
        sync::wait_until("the sign to answer", || Ok(sign.exists()))?;
        send(&peer, &pattern::bytes(50_000, seed))
    })?;
    ask(&stream, seed)?;
    end(&stream)?;
    sync::wait_until("the end to be acknowledged", || Ok(fd::outq(&stream)? == 0))?;

    cx.ready()?;

    say(&sign, "now")?;
    pattern::verify("what comes after the end", &receive(&stream, 50_000)?, seed)?;
    expect_end(&stream)?;
    partner.join()
}
