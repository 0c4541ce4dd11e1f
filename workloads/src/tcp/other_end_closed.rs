//! Connections whose other end was closed, with and without bytes that were not read.

use super::helpers::{await_end, expect_end, names, pair, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP connections whose other end is closed",
    needs: &[Need::Root],
    // The window that is offered may grow by the byte that the end of the stream took.
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (gone, one) = pair()?;
    let before = names((&gone, &one))?;
    send(&gone, b"last words")?;
    drop(gone);
    let (gone, silent) = pair()?;
    drop(gone);
    await_end(&one)?;
    await_end(&silent)?;

    cx.ready()?;

    expect_eq("addresses", [one.local_addr()?, one.peer_addr()?], [before[2], before[3]])?;
    expect_bytes("what was not read", &receive(&one, 10)?, b"last words")?;
    expect_end(&one)?;
    expect_end(&silent)?;
    send(&silent, b"into the void")?;
    sync::wait_until("an error", || Ok(fd::ready_for(&silent, 0)? & libc::POLLERR != 0))?;
    let errno = fd::errno("send", send(&silent, b"more"))?;
    expect(matches!(errno, libc::EPIPE | libc::ECONNRESET), || {
        "the error is not one of a connection that is over".into()
    })
}
