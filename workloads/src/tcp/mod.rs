//! TCP sockets: those that listen, and connections through the loopback interface.

pub mod helpers;
mod partner;

crate::framework::corpus! {
    mod both_halves;
    mod connect_stopped;
    mod connected_nonblocking;
    mod connecting;
    mod data_both_ways;
    mod end_behind_full_queue;
    mod filter;
    mod full_queues;
    mod idle;
    mod in_motion;
    mod ipv6;
    mod listening;
    mod listening_ipv6;
    mod many_ended;
    mod mapped;
    mod options;
    mod other_end_closed;
    mod outside;
    mod outside_ended;
    mod outside_half_closed;
    mod outside_idle;
    mod outside_in_motion;
    mod outside_ipv6;
    mod outside_mapped;
    mod over;
    mod ping_pong;
    mod unconnected;
    mod unread_then_end;
    mod waiting;
    mod watched;
}
