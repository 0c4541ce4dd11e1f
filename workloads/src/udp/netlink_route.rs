//! A netlink socket for routing, with a port of its own.

use super::helpers::{bind_netlink, links, netlink_name, socket};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a netlink socket keeps its port and options, and answers",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const NETLINK_PKTINFO: i32 = 3;
const NETLINK_EXT_ACK: i32 = 11;

fn run(cx: &mut Ctx) -> Outcome {
    let route = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let fresh = socket(libc::AF_NETLINK, libc::SOCK_DGRAM, libc::NETLINK_ROUTE)?;
    bind_netlink(&route, 0)?;
    option::set_int(&route, libc::SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
    let name = netlink_name(&route)?;
    let before = links(&route)?;
    expect(before.iter().any(|link| link == "lo"), || format!("interfaces {before:?}"))?;

    cx.ready()?;

    expect_eq("port and groups", netlink_name(&route)?, name)?;
    expect_eq("port of one that is not bound", netlink_name(&fresh)?, (0, 0))?;
    let option = |option| option::get_int(&route, libc::SOL_NETLINK, option);
    let options = (option(NETLINK_EXT_ACK)?, option(NETLINK_PKTINFO)?);
    expect_eq("NETLINK_EXT_ACK and NETLINK_PKTINFO", options, (1, 0))?;
    expect(links(&route)?.iter().any(|link| link == "lo"), || "loopback is not listed".into())?;
    expect(links(&fresh)?.iter().any(|link| link == "lo"), || "loopback is not listed".into())
}
