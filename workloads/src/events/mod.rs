//! Event descriptors: counters, timers and the ends of processes.

mod helpers;

crate::framework::corpus! {
    mod eventfd_blocked;
    mod eventfd_counters;
    mod eventfd_ping_pong;
    mod eventfd_semaphores;
    mod eventfd_shared;
    mod pidfd_blocked;
    mod pidfd_child;
    mod pidfd_shared;
    mod pidfd_thread;
    mod pidfd_zombie;
    mod timerfd_absolute;
    mod timerfd_blocked;
    mod timerfd_expired;
    mod timerfd_settings;
    mod timerfd_ticking;
}
