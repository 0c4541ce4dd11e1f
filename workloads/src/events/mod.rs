//! Event descriptors: counters and timers.

mod helpers;

crate::framework::corpus! {
    mod eventfd_blocked;
    mod eventfd_counters;
    mod eventfd_ping_pong;
    mod eventfd_semaphores;
    mod eventfd_shared;
    mod timerfd_absolute;
    mod timerfd_blocked;
    mod timerfd_expired;
    mod timerfd_settings;
    mod timerfd_ticking;
}
