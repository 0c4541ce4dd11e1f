//! Interval and POSIX timers, and sleeps and waits that end by themselves.

mod alarm;
mod alarm_fires;
mod clocks_forward;
mod continued_sleeps;
mod interval_timers;
mod kit;
mod libc_timer;
mod many_timers;
mod overrun;
mod plain_poll;
mod posix_clocks;
mod posix_fires_once;
mod posix_ids;
mod posix_notify;
mod posix_pending;
mod posix_settings;
mod posix_ticking;
mod processor_time;
mod sigtimedwait_ends;
mod sleep;
mod sleep_remaining;
mod ticking;
mod timed_waits;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &alarm::WORKLOAD,
    &alarm_fires::WORKLOAD,
    &clocks_forward::WORKLOAD,
    &interval_timers::WORKLOAD,
    &libc_timer::WORKLOAD,
    &many_timers::WORKLOAD,
    &overrun::WORKLOAD,
    &plain_poll::WORKLOAD,
    &posix_clocks::WORKLOAD,
    &posix_fires_once::WORKLOAD,
    &posix_ids::WORKLOAD,
    &posix_notify::WORKLOAD,
    &posix_pending::WORKLOAD,
    &posix_settings::WORKLOAD,
    &posix_ticking::WORKLOAD,
    &processor_time::WORKLOAD,
    &sigtimedwait_ends::WORKLOAD,
    &sleep::WORKLOAD,
    &sleep_remaining::WORKLOAD,
    &continued_sleeps::WORKLOAD,
    &ticking::WORKLOAD,
    &timed_waits::WORKLOAD,
];
