//! Interval timers, POSIX timers by the kernel's own ids, and clocks, as durations.

use crate::framework::prelude::*;
use std::time::Duration;

/// How much of a long timer may pass while a workload waits for `go`: with timers of [`LONG`] more
/// than any cell lasts, and far less than a timer that was set again or ran while frozen would
/// show.
const SLACK: Duration = Duration::from_secs(600);

/// Longer than any workload runs.
pub const LONG: Duration = Duration::from_secs(40_000);

/// The length of a wait that ends while the corpus runs: long enough to be found waiting.
pub const SHORT: Duration = Duration::from_millis(500);

fn timeval(time: Duration) -> libc::timeval {
    libc::timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros() as _ }
}

/// As the system calls take it.
pub fn timespec(time: Duration) -> libc::timespec {
    libc::timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ }
}

/// As a [`Duration`].
pub fn duration(time: &libc::timespec) -> Duration {
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What is left until the next expiry (zero: disarmed), and the interval.
pub type Setting = (Duration, Duration);

/// setitimer(2) on ITIMER_REAL, ITIMER_VIRTUAL or ITIMER_PROF.
pub fn set_interval(which: i32, (value, interval): Setting) -> Outcome {
    let new = libc::itimerval { it_value: timeval(value), it_interval: timeval(interval) };
    // SAFETY: the kernel reads the struct and no old one is requested. `setitimer` takes another
    // integer type per libc.
    sys::check("setitimer", unsafe {
        libc::syscall(libc::SYS_setitimer, which, &new, std::ptr::null::<libc::itimerval>())
    })?;
    Ok(())
}

/// getitimer(2).
pub fn interval(which: i32) -> anyhow::Result<Setting> {
    let zero = timeval(Duration::ZERO);
    let mut now = libc::itimerval { it_value: zero, it_interval: zero };
    // SAFETY: the kernel writes the struct.
    sys::check("getitimer", unsafe { libc::syscall(libc::SYS_getitimer, which, &mut now) })?;
    let from = |t: libc::timeval| Duration::new(t.tv_sec.cast_unsigned(), t.tv_usec as u32 * 1000);
    Ok((from(now.it_value), from(now.it_interval)))
}

/// What a POSIX timer notifies.
#[derive(Clone, Copy, Debug)]
pub enum Notify {
    /// The process, by a signal with a value.
    Signal(i32, usize),
    /// One thread, by a signal with a value.
    Thread(libc::pid_t, i32, usize),
    /// Nothing.
    Nobody,
}

/// timer_create(2), without libc, which has other ids: the kernel's id.
pub fn create(clock: libc::clockid_t, notify: Notify) -> anyhow::Result<i32> {
    // SAFETY: sigevent is plain data, for which zero is valid.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    let (how, number, value) = match notify {
        Notify::Signal(number, value) => (libc::SIGEV_SIGNAL, number, value),
        Notify::Thread(tid, number, value) => {
            event.sigev_notify_thread_id = tid;
            (libc::SIGEV_THREAD_ID, number, value)
        }
        Notify::Nobody => (libc::SIGEV_NONE, 0, 0),
    };
    (event.sigev_notify, event.sigev_signo) = (how, number);
    event.sigev_value = libc::sigval { sival_ptr: value as *mut _ };
    let mut id = -1i32;
    // SAFETY: the kernel reads the event and writes one int.
    sys::check("timer_create", unsafe { libc::syscall(libc::SYS_timer_create, clock, &event, &mut id) })
        .with_context(|| format!("clock {clock}, {notify:?}"))?;
    Ok(id)
}

/// timer_settime(2); `absolute`: the value is a time of the timer's clock.
pub fn set(id: i32, (value, interval): Setting, absolute: bool) -> Outcome {
    let new = libc::itimerspec { it_value: timespec(value), it_interval: timespec(interval) };
    let flags = if absolute { libc::TIMER_ABSTIME } else { 0 };
    // SAFETY: the kernel reads the struct and no old one is requested.
    sys::check("timer_settime", unsafe {
        libc::syscall(libc::SYS_timer_settime, id, flags, &new, std::ptr::null::<libc::itimerspec>())
    })?;
    Ok(())
}

/// timer_gettime(2).
pub fn get(id: i32) -> anyhow::Result<Setting> {
    let zero = timespec(Duration::ZERO);
    let mut now = libc::itimerspec { it_value: zero, it_interval: zero };
    // SAFETY: the kernel writes the struct.
    sys::check("timer_gettime", unsafe { libc::syscall(libc::SYS_timer_gettime, id, &mut now) })
        .with_context(|| format!("timer {id}"))?;
    Ok((duration(&now.it_value), duration(&now.it_interval)))
}

/// timer_delete(2).
pub fn delete(id: i32) -> Outcome {
    // SAFETY: takes no memory.
    sys::check("timer_delete", unsafe { libc::syscall(libc::SYS_timer_delete, id) })
        .with_context(|| format!("timer {id}"))?;
    Ok(())
}

/// clock_gettime(2), through the vdso where libc uses it.
pub fn now(clock: libc::clockid_t) -> anyhow::Result<Duration> {
    let mut time = timespec(Duration::ZERO);
    // SAFETY: the kernel writes the struct.
    sys::check("clock_gettime", unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(duration(&time))
}

/// CPU-time timers are rounded up by a tick each time they are set: at most 10 ms.
pub const TICK: Duration = Duration::from_millis(10);

/// A running timer of about [`LONG`]: less than `before` is left, but not much less, and the
/// interval is the same.
pub fn expect_running(what: &str, now: Setting, before: Setting) -> Outcome {
    expect_eq(&format!("{what}: interval"), now.1, before.1)?;
    expect(now.0 <= before.0 && now.0 + SLACK > before.0, || {
        format!("{what}: {:?} left, had {:?} before", now.0, before.0)
    })
}

/// The timers of this process in /proc/PID/timers, one block per timer; empty if the kernel has no
/// such file.
pub fn listed() -> anyhow::Result<Vec<String>> {
    match std::fs::read_to_string("/proc/self/timers") {
        Ok(text) => {
            let mut all: Vec<String> =
                text.split("ID: ").filter(|t| !t.is_empty()).map(str::to_owned).collect();
            all.sort();
            Ok(all)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).context("read /proc/self/timers"),
    }
}

/// Waits until `thread` is blocked in system call `nr`, or its wait of [`SHORT`] is over already on
/// a slow machine.
pub fn settle(thread: &Thread, nr: libc::c_long) -> Outcome {
    let tid = thread.tid;
    sync::wait_until(&format!("thread {tid} to block in system call {nr}"), || {
        Ok(!procfs::tids()?.contains(&tid) || procfs::is_blocked_in(sys::getpid(), tid, nr)?)
    })
}
