//! UDP sockets over loopback, and netlink sockets.

pub mod helpers;

crate::framework::corpus! {
    mod autobound;
    mod blocked;
    mod bound;
    mod connected;
    mod connected_ipv6;
    mod epoll;
    mod filter;
    mod in_motion;
    mod ipv4_mapped;
    mod ipv6;
    mod multicast;
    mod netlink_groups;
    mod netlink_route;
    mod options;
    mod packet_info;
    mod peek_offset;
    mod ping;
    mod queue;
    mod queue_long;
    mod shared_port;
    mod shutdown;
}
