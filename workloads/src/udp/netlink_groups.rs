//! Netlink sockets in multicast groups, of which some have no bit in the address.

use super::helpers::{bind_netlink, netlink_name, socket};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "netlink sockets are in their groups",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const NETLINK_ADD_MEMBERSHIP: i32 = 1;
const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
/// `RTNLGRP_TC` and `RTNLGRP_MPLS_NETCONF`, of which nothing comes, include/uapi/linux/rtnetlink.h.
const ROUTE: &[i32] = &[4, 33];

fn run(cx: &mut Ctx) -> Outcome {
    let route = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    bind_netlink(&route, 0)?;
    for group in ROUTE {
        option::set_int(&route, libc::SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, *group)?;
    }
    let (name, list) =
        (netlink_name(&route)?, option::get(&route, libc::SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS)?);
    expect(list.iter().any(|byte| *byte != 0), || "no group".into())?;

    cx.ready()?;

    expect_eq("port and groups", netlink_name(&route)?, name)?;
    expect_eq("all groups", option::get(&route, libc::SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS)?, list)
}
