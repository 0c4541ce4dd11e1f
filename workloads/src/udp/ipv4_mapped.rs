//! A socket of IPv6 that receives IPv4.

use super::helpers::{bound, expect_next, local, local_ipv6, name, send, unbound};
use crate::framework::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub const WORKLOAD: Workload = Workload {
    purpose: "a UDP socket of IPv6 has datagrams of both families in its queue, in their order",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (four, six) = (local()?, local_ipv6()?);
    let both = bound(Ipv6Addr::UNSPECIFIED)?;
    let to = |ip: IpAddr| Ok::<_, anyhow::Error>(SocketAddr::from((ip, name(&both)?.port())));
    send(&four, b"four", to(Ipv4Addr::LOCALHOST.into())?)?;
    send(&six, b"six", to(Ipv6Addr::LOCALHOST.into())?)?;
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), name(&four)?.port()));
    let client = unbound(libc::AF_INET6)?;
    client.connect(mapped).context("connect to a mapped address")?;

    cx.ready()?;

    expect_next("IPv4", &both, b"four", mapped)?;
    expect_next("IPv6", &both, b"six", name(&six)?)?;
    expect_eq("peer", client.peer_addr().context("getpeername")?, mapped)?;
    client.send(b"to IPv4").context("send")?;
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, name(&client)?.port()));
    expect_next("what is sent to a mapped address", &four, b"to IPv4", from)
}
