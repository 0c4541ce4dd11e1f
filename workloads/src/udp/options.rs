//! Options of all levels.

use super::helpers::{local, local_ipv6, name};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "UDP sockets keep the options of socket, IP and UDP",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const OWN: i32 = libc::SOL_SOCKET;
const IP: i32 = libc::IPPROTO_IP;
const IPV6: i32 = libc::IPPROTO_IPV6;
const UDP: i32 = libc::IPPROTO_UDP;
/// include/uapi/linux/udp.h
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_GRO: i32 = 104;

/// Level, name and value of options that every user may set and every kernel has.
const FOUR: &[(i32, i32, i32)] = &[
    (OWN, libc::SO_BROADCAST, 1),
    (OWN, libc::SO_RCVBUF, 20_000),
    (OWN, libc::SO_PRIORITY, 3),
    (OWN, libc::SO_TIMESTAMPNS, 1),
    (OWN, libc::SO_PEEK_OFF, 17),
    (IP, libc::IP_TOS, 0x28),
    (IP, libc::IP_TTL, 33),
    (IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
    (IP, libc::IP_RECVERR, 1),
    (IP, libc::IP_PKTINFO, 1),
    (IP, libc::IP_RECVTTL, 1),
    (IP, libc::IP_RECVTOS, 1),
    (IP, libc::IP_MINTTL, 2),
    (IP, libc::IP_FREEBIND, 1),
    (IP, libc::IP_MULTICAST_TTL, 7),
    (IP, libc::IP_MULTICAST_LOOP, 0),
    (IP, libc::IP_MULTICAST_ALL, 0),
    (UDP, UDP_GRO, 1),
];

const SIX: &[(i32, i32, i32)] = &[
    (IPV6, libc::IPV6_TCLASS, 0x28),
    (IPV6, libc::IPV6_UNICAST_HOPS, 12),
    (IPV6, libc::IPV6_MULTICAST_HOPS, 13),
    (IPV6, libc::IPV6_MULTICAST_LOOP, 0),
    (IPV6, libc::IPV6_MULTICAST_IF, 1),
    (IPV6, libc::IPV6_RECVPKTINFO, 1),
    (IPV6, libc::IPV6_RECVHOPLIMIT, 1),
    (IPV6, libc::IPV6_RECVERR, 1),
    (IPV6, libc::IPV6_DONTFRAG, 1),
    (IP, libc::IP_TOS, 0x10),
    (UDP, UDP_NO_CHECK6_TX, 1),
];

fn run(cx: &mut Ctx) -> Outcome {
    let (four, six) = (local()?, local_ipv6()?);
    let all = || FOUR.iter().map(|option| (&four, option)).chain(SIX.iter().map(|option| (&six, option)));
    for (socket, (level, option, value)) in all() {
        option::set_int(socket, *level, *option, *value)?;
    }
    let values = all().map(|(socket, (level, option, _))| option::get(socket, *level, *option));
    let before = values.collect::<anyhow::Result<Vec<_>>>()?;
    let names = (name(&four)?, name(&six)?);

    cx.ready()?;

    expect_eq("addresses", (name(&four)?, name(&six)?), names)?;
    for ((socket, (level, option, _)), before) in all().zip(before) {
        let what = format!("option {option} of level {level}");
        expect_eq(&what, option::get(socket, *level, *option)?, before)?;
    }
    Ok(())
}
