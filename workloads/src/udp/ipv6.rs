//! Sockets of IPv6, with the longest datagram there is.

use super::helpers::{expect_delivery, expect_empty, expect_next, local_ipv6, name, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "UDP sockets of IPv6 keep address, queue and borders",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (socket, sender) = (local_ipv6()?, local_ipv6()?);
    let at = name(&socket)?;
    let long = pattern::bytes(65527, cx.seed);
    send(&sender, b"short", at)?;
    send(&sender, &long, at)?;

    cx.ready()?;

    expect_eq("address", name(&socket)?, at)?;
    for data in [&b"short"[..], &long] {
        expect_next("a datagram", &socket, data, name(&sender)?)?;
    }
    expect_empty(&socket)?;
    expect_delivery(&sender, &socket, at)
}
