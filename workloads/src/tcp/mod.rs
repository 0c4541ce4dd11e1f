//! TCP sockets: those that listen, and connections through the loopback interface.

pub mod helpers;

crate::framework::corpus! {
    mod both_halves;
    mod connect_stopped;
    mod connected_nonblocking;
    mod data_both_ways;
    mod end_behind_full_queue;
    mod full_queues;
    mod idle;
    mod in_motion;
    mod ipv6;
    mod listening;
    mod listening_ipv6;
    mod mapped;
    mod options;
    mod other_end_closed;
    mod over;
    mod ping_pong;
    mod unconnected;
    mod unread_then_end;
    mod waiting;
    mod watched;
}
