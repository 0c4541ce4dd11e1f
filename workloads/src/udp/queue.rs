//! Datagrams from several senders, some of which are gone, and empty ones.

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
    let queue: [(&[u8], _); 6] =
        [(b"first", &one), (b"", &gone), (b"", &one), (&long, &other), (b"x", &gone), (b"", &other)];
    let mut wanted = Vec::new();
    for (data, sender) in queue {
        send(sender, data, at)?;
        wanted.push((data, name(sender)?));
    }
    drop(gone);

    cx.ready()?;

    expect_bytes("a look", &receive(&socket, libc::MSG_DONTWAIT | libc::MSG_PEEK)?.0, b"first")?;
    for (data, from) in wanted {
        expect_next("a datagram", &socket, data, from)?;
    }
    expect_empty(&socket)?;
    expect_delivery(&one, &socket, at)
}
