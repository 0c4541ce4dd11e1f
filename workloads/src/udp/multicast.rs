//! Multicast groups on loopback: all senders, and only some.

use super::helpers::{local_ipv6, unbound};
use crate::framework::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

pub const WORKLOAD: Workload = Workload {
    purpose: "UDP sockets are in the multicast groups that they have joined, with their sources",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 4);
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

fn run(cx: &mut Ctx) -> Outcome {
    let (socket, stranger, six) = (unbound(libc::AF_INET)?, unbound(libc::AF_INET)?, local_ipv6()?);
    let lo = Ipv4Addr::LOCALHOST;
    let group6 = Ipv6Addr::new(0xff11, 0, 0, 0, 0, 0, 0, 0x77);
    socket.join_multicast_v4(&GROUP, &lo).context("join a group")?;
    by_source(&socket, libc::IP_ADD_SOURCE_MEMBERSHIP)?;
    six.join_multicast_v6(&group6, 1).context("join a group of IPv6")?;

    cx.ready()?;

    let join_again = socket.join_multicast_v4(&GROUP, &lo).map_err(|err| err.raw_os_error());
    expect_eq("joining a group again", join_again, Err(Some(libc::EADDRINUSE)))?;
    socket.leave_multicast_v4(&GROUP, &lo).context("leave a group")?;
    by_source(&socket, libc::IP_DROP_SOURCE_MEMBERSHIP).context("leave a group of one sender")?;
    six.leave_multicast_v6(&group6, 1).context("leave a group of IPv6")?;
    let not_in = stranger.leave_multicast_v4(&GROUP, &lo).map_err(|err| err.raw_os_error());
    expect_eq("leaving what was not joined", not_in, Err(Some(libc::EADDRNOTAVAIL)))
}

/// `struct ip_mreq_source`: group, interface, sender.
fn by_source(socket: &UdpSocket, option: i32) -> Outcome {
    let request = [OTHER, Ipv4Addr::LOCALHOST, SOURCE].map(|ip| ip.octets()).concat();
    option::set(socket, libc::IPPROTO_IP, option, &request)
}
