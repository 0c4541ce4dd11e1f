//! A connection with bytes in both directions that were not read.

use super::helpers::{await_bytes, pair, receive, send, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the bytes in both directions of a TCP connection, partly read",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = pair()?;
    let (there, back) = (pattern::bytes(20_000, cx.seed), pattern::bytes(300, !cx.seed));
    send(&one, &there)?;
    send(&other, &back)?;
    expect_bytes("the first ones", &receive(&other, 1234)?, &there[..1234])?;
    let left = (there.len() - 1234) as i32;
    await_bytes(&other, left)?;
    await_bytes(&one, 300)?;

    cx.ready()?;

    expect_eq("bytes", (fd::available(&one)?, fd::available(&other)?), (300, left))?;
    send(&one, b"!")?;
    expect_bytes("the way there", &receive(&other, left as usize)?, &there[1234..])?;
    expect_bytes("after that", &receive(&other, 1)?, b"!")?;
    expect_bytes("the way back", &receive(&one, 300)?, &back)?;
    talk((&one, &other), cx.seed)
}
