//! A connection over IPv6 with bytes that were not read.

use super::helpers::{await_bytes, listener, names, pair_of, receive, send, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection over IPv6: addresses, bytes",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = pair_of(&listener("::1")?)?;
    let before = names((&one, &other))?;
    send(&one, b"there")?;
    send(&other, b"and back")?;
    await_bytes(&other, 5)?;
    await_bytes(&one, 8)?;

    cx.ready()?;

    expect_eq("addresses", names((&one, &other))?, before)?;
    expect_bytes("the way there", &receive(&other, 5)?, b"there")?;
    expect_bytes("the way back", &receive(&one, 8)?, b"and back")?;
    talk((&one, &other), cx.seed)
}
