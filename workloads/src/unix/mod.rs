//! Unix sockets: what waits in them, their names, how they came to be connected, what is shut down.

pub mod helpers;

crate::framework::corpus! {
    mod abstract_names;
    mod accepted;
    mod asynchronous;
    mod between_processes;
    mod blocked_receiver;
    mod blocked_sender;
    mod credentials;
    mod datagram_pair;
    mod descriptors;
    mod filter;
    mod full;
    mod listener_gone;
    mod listening;
    mod many;
    mod moved_files;
    mod named_datagrams;
    mod options;
    mod peer_gone;
    mod peeked;
    mod peers_named;
    mod ping_pong;
    mod sequenced;
    mod shut_down;
    mod stream_pair;
    mod watched;
}
