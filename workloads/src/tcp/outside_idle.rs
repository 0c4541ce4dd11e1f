//! A connection to a process outside at rest.

use super::helpers::{end, expect_end, state};
use super::partner::{answer, ask, partner};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection to a process outside that is at rest",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let (stream, partner) = partner(cx, "127.0.0.1", |peer| {
        answer(&peer, seed)?;
        answer(&peer, !seed)?;
        expect_end(&peer)
    })?;
    ask(&stream, seed)?;
    // All is acknowledged.
    sync::wait_until("an empty queue", || Ok(fd::outq(&stream)? == 0))?;

    cx.ready()?;

    expect_eq("state", state(&stream)?, 1)?;
    ask(&stream, !seed)?;
    end(&stream)?;
    expect_end(&stream)?;
    partner.join()
}
