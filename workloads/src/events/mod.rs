//! Event descriptors: counters, timers, signals, the ends of processes, and epoll.

pub mod helpers;

crate::framework::corpus! {
    mod epoll_blocked;
    mod epoll_edge;
    mod epoll_exclusive;
    mod epoll_level;
    mod epoll_nested;
    mod epoll_numbers;
    mod epoll_of_events;
    mod epoll_one_shot;
    mod epoll_shared;
    mod eventfd_blocked;
    mod eventfd_counters;
    mod eventfd_ping_pong;
    mod eventfd_semaphores;
    mod eventfd_shared;
    mod fanotify_marks;
    mod inotify_blocked;
    mod inotify_watches;
    mod pidfd_blocked;
    mod pidfd_child;
    mod pidfd_shared;
    mod pidfd_thread;
    mod pidfd_zombie;
    mod signalfd_blocked;
    mod signalfd_pending;
    mod signalfd_shared;
    mod timerfd_absolute;
    mod timerfd_blocked;
    mod timerfd_expired;
    mod timerfd_settings;
    mod timerfd_ticking;
}
