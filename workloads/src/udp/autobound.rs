//! A socket that got its port when it sent for the first time.

use super::helpers::{expect_delivery, expect_next, local, name, send, unbound};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a UDP socket that was never bound keeps the port that it sends from",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (server, client, fresh) = (local()?, unbound(libc::AF_INET)?, unbound(libc::AF_INET)?);
    send(&client, b"first", name(&server)?)?;
    let at = name(&client)?;
    expect(at.ip().is_unspecified() && at.port() != 0, || format!("bound to {at}"))?;

    cx.ready()?;

    expect_eq("address", name(&client)?, at)?;
    expect_eq("port of one that has sent nothing", name(&fresh)?.port(), 0)?;
    let from = (std::net::Ipv4Addr::LOCALHOST, at.port()).into();
    expect_next("what was sent before", &server, b"first", from)?;
    send(&client, b"second", name(&server)?)?;
    expect_next("what is sent after", &server, b"second", from)?;
    expect_delivery(&server, &client, from)
}
