//! Interval and POSIX timers, and sleeps and waits with a timeout.

pub(crate) mod helpers;

crate::framework::corpus! {
    mod alarm;
    mod alarm_fires;
    mod clocks_forward;
    mod interval_timers;
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
    mod continued_sleeps;
    mod ticking;
    mod timed_waits;
}
