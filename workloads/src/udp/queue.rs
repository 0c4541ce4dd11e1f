//! Datagrams from several senders, some of which are gone, and an empty one.

use super::helpers::{expect_delivery, expect_empty, expect_next, local, name, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "datagrams in a UDP queue keep contents, order, borders and senders",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (socket, one, gone, other) = (local()?, local()?, local()?, local()?);
    let at = name(&socket)?;
    let long = pattern::bytes(40_000, cx.seed);
    // An empty one anywhere else is passed over by a second look, that of the next checkpoint.
    let queue: [(&[u8], _); 4] = [(b"", &gone), (b"second", &one), (&long, &other), (b"x", &gone)];
    let mut wanted = Vec::new();
    for (data, sender) in queue {
        send(sender, data, at)?;
        wanted.push((data, name(sender)?));
    }
    drop(gone);

    cx.ready()?;

    expect_bytes("a look", &receive(&socket, libc::MSG_DONTWAIT | libc::MSG_PEEK)?.0, b"")?;
    for (data, from) in wanted {
        expect_next("a datagram", &socket, data, from)?;
    }
    expect_empty(&socket)?;
    expect_delivery(&one, &socket, at)
}
