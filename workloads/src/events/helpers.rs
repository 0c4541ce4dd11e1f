//! eventfd(2) and timerfd_create(2), by words of eight bytes.

use crate::framework::prelude::*;
use crate::timers::helpers::{Setting, duration, timespec};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// eventfd2(2).
pub fn eventfd(count: u32, flags: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    unsafe { Ok(OwnedFd::from_raw_fd(sys::check("eventfd", libc::eventfd(count, flags))?)) }
}

/// One read(2), which must return eight bytes.
pub fn take(fd: &OwnedFd) -> anyhow::Result<u64> {
    let bytes = fd::read_some(fd, 8)?;
    let len = bytes.len();
    Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| anyhow!("read {len} of 8 bytes"))?))
}

/// One write(2) of eight bytes.
pub fn add(fd: &OwnedFd, count: u64) -> Outcome {
    expect_eq("bytes written", fd::write_some(fd, &count.to_ne_bytes())?, 8)
}

/// ppoll(2) without a timeout and without a mask, until there is something to read.
pub fn await_input(fd: &OwnedFd) -> Outcome {
    let mut one = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    let got = unsafe { libc::syscall(libc::SYS_ppoll, &raw mut one, 1usize, 0usize, 0usize, 8usize) };
    expect_eq("ready", sys::check("ppoll", got)?, 1)
}

/// timerfd_create(2).
pub fn timerfd(clock: libc::clockid_t, flags: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    let fd = sys::check("timerfd_create", unsafe { libc::timerfd_create(clock, flags) })
        .with_context(|| format!("clock {clock}"))?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// timerfd_settime(2).
pub fn arm(fd: &OwnedFd, flags: i32, (value, interval): Setting) -> Outcome {
    let new = libc::itimerspec { it_value: timespec(value), it_interval: timespec(interval) };
    // SAFETY: the kernel reads the struct and no old one is requested.
    sys::check("timerfd_settime", unsafe {
        libc::timerfd_settime(fd.as_raw_fd(), flags, &new, std::ptr::null_mut())
    })?;
    Ok(())
}

/// timerfd_gettime(2).
pub fn left(fd: &OwnedFd) -> anyhow::Result<Setting> {
    let zero = timespec(Duration::ZERO);
    let mut now = libc::itimerspec { it_value: zero, it_interval: zero };
    // SAFETY: the kernel writes the struct.
    sys::check("timerfd_gettime", unsafe { libc::timerfd_gettime(fd.as_raw_fd(), &mut now) })?;
    Ok((duration(&now.it_value), duration(&now.it_interval)))
}

/// A line of /proc/self/fdinfo/N.
pub fn shown(fd: &OwnedFd, field: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    Ok(value.with_context(|| format!("no {field}"))?.to_owned())
}

/// pidfd_open(2).
pub fn pidfd(pid: libc::pid_t, flags: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = sys::check("pidfd_open", unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The process or thread that a pidfd refers to.
pub fn refers_to(fd: &OwnedFd) -> anyhow::Result<libc::pid_t> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let value = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    Ok(value.context("no Pid")?.trim().parse()?)
}

/// pidfd_send_signal(2).
pub fn send(fd: &OwnedFd, signal: i32) -> Outcome {
    // SAFETY: numbers, and no siginfo.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, 0usize, 0usize) };
    sys::check("pidfd_send_signal", sent).map(drop)
}

/// Whether the process of a pidfd has ended.
pub fn has_ended(fd: &OwnedFd) -> anyhow::Result<bool> {
    Ok(fd::ready_for(fd, libc::POLLIN)? & libc::POLLIN != 0)
}

/// epoll_create1(2).
pub fn epoll() -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    unsafe {
        Ok(OwnedFd::from_raw_fd(sys::check("epoll_create1", libc::epoll_create1(libc::EPOLL_CLOEXEC))?))
    }
}

/// epoll_ctl(2); `events` of `EPOLL*`.
pub fn control(epoll: &OwnedFd, command: i32, fd: &impl AsRawFd, events: i32, data: u64) -> Outcome {
    let mut event = libc::epoll_event { events: events as u32, u64: data };
    // SAFETY: the kernel reads the struct.
    let done = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), command, fd.as_raw_fd(), &mut event) };
    sys::check("epoll_ctl", done).map(drop)
}

/// `EPOLL_CTL_ADD`
pub fn watch(epoll: &OwnedFd, fd: &impl AsRawFd, events: i32, data: u64) -> Outcome {
    control(epoll, libc::EPOLL_CTL_ADD, fd, events, data)
}

/// epoll_wait(2): the events that there are, by data word.
pub fn events(epoll: &OwnedFd, timeout_ms: i32) -> anyhow::Result<Vec<(u64, i32)>> {
    let mut room = [libc::epoll_event { events: 0, u64: 0 }; 64];
    // SAFETY: the kernel writes no more events than there is room for.
    let got = unsafe { libc::epoll_wait(epoll.as_raw_fd(), room.as_mut_ptr(), 64, timeout_ms) };
    let count = sys::check("epoll_wait", got)? as usize;
    let mut events: Vec<(u64, i32)> =
        room[..count].iter().map(|event| (event.u64, event.events as i32)).collect();
    events.sort_unstable();
    Ok(events)
}

/// signalfd4(2).
pub fn signalfd(signals: &[i32], flags: i32) -> anyhow::Result<OwnedFd> {
    let fd = signalfd4(-1, signals, flags)?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Changes the set of a signalfd.
pub fn set_signals(fd: &OwnedFd, signals: &[i32]) -> Outcome {
    signalfd4(fd.as_raw_fd(), signals, 0).map(drop)
}

fn signalfd4(fd: i32, signals: &[i32], flags: i32) -> anyhow::Result<i32> {
    let set = signal::bits(signals);
    // SAFETY: the kernel reads the eight bytes.
    let got = unsafe { libc::syscall(libc::SYS_signalfd4, fd, &raw const set, 8usize, flags) };
    Ok(sys::check("signalfd4", got)? as i32)
}

/// One signal from a signalfd: its number, value and sender.
pub fn read_signal(fd: &OwnedFd) -> anyhow::Result<(i32, u64, libc::pid_t)> {
    // struct signalfd_siginfo, include/uapi/linux/signalfd.h
    let bytes = fd::read_some(fd, 128)?;
    expect_eq("bytes of a signal", bytes.len(), 128)?;
    let word = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[48..56]);
    Ok((word(0), u64::from_ne_bytes(value), word(12)))
}

/// inotify_init1(2).
pub fn inotify(flags: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = sys::check("inotify_init1", unsafe { libc::inotify_init1(flags) })?;
    // SAFETY: the descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// inotify_add_watch(2).
pub fn watch_path(instance: &impl AsRawFd, path: &str, mask: u32) -> anyhow::Result<i32> {
    let path = std::ffi::CString::new(path)?;
    // SAFETY: the path lives through the call.
    sys::check("inotify_add_watch", unsafe {
        libc::inotify_add_watch(instance.as_raw_fd(), path.as_ptr(), mask)
    })
}

/// The events of one read(2): watch, mask without IN_ISDIR, name; none if there are none and the
/// instance does not block.
pub fn notices(instance: &impl AsRawFd) -> anyhow::Result<Vec<(i32, u32, String)>> {
    let bytes = match fd::read_some(instance, 4096) {
        Err(err) if sys::errno_in(&err) == Some(libc::EAGAIN) => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let (mut found, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name, after) = tail.split_at(word(12) as usize);
        let name = name.iter().copied().take_while(|byte| *byte != 0).collect();
        found.push((word(0) as i32, word(4) & !libc::IN_ISDIR, String::from_utf8(name)?));
        rest = after;
    }
    Ok(found)
}
