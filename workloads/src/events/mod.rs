//! Descriptors that are waited for: counters and timers.

mod kit;

crate::framework::corpus! {
    mod eventfd_blocked;
    mod eventfd_counters;
    mod eventfd_ping_pong;
    mod eventfd_semaphores;
    mod eventfd_shared;
}
