//! A socket of IPv6 whose address connect(2) has chosen.

use super::helpers::{expect_next, local_ipv6, name, unbound};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a connected UDP socket of IPv6 that was not bound is still no IPv6-only one",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (server, client) = (local_ipv6()?, unbound(libc::AF_INET6)?);
    option::set_int(&client, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    client.connect(name(&server)?).context("connect")?;
    let at = name(&client)?;

    cx.ready()?;

    expect_eq("address", name(&client)?, at)?;
    expect_eq("peer", client.peer_addr().context("getpeername")?, name(&server)?)?;
    let only = |socket| option::get_int(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    expect_eq("IPV6_V6ONLY of client and server", (only(&client)?, only(&server)?), (0, 1))?;
    client.send(b"here").context("send")?;
    expect_next("what is sent", &server, b"here", at)
}
