//! select(2) without a timeout and for an hour: sets and timeout are in the caller's memory.

use crate::framework::prelude::*;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads blocked in select and pselect",
    needs: &[],
    // A checkpoint interrupts the call, and the kernel then writes the remaining time into memory.
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut pairs = Vec::new();
    for seconds in [None, Some(3600)] {
        let (reader, writer) = std::io::pipe().context("pipe")?;
        let thread = thread::spawn(move || {
            let fd = reader.as_raw_fd();
            let mut timeout = libc::timeval { tv_sec: seconds.unwrap_or(0), tv_usec: 0 };
            let timeout = if seconds.is_some() { &raw mut timeout } else { std::ptr::null_mut() };
            // SAFETY: the sets and the timeout live through the calls; `fd` is below FD_SETSIZE.
            unsafe {
                let mut set: libc::fd_set = std::mem::zeroed();
                libc::FD_SET(fd, &mut set);
                let null = std::ptr::null_mut();
                expect_eq("select", libc::select(fd + 1, &mut set, null, null, timeout), 1)?;
                expect(libc::FD_ISSET(fd, &set), || "select left the descriptor out".into())
            }
        })?;
        sync::wait_until("the thread to block in select", || {
            let blocked = |nr| procfs::is_blocked_in(sys::getpid(), thread.tid, nr);
            Ok(blocked(libc::SYS_pselect6)? || arch::SELECT.map_or(Ok(false), blocked)?)
        })?;
        pairs.push((thread, writer));
    }

    cx.ready()?;

    for (thread, mut writer) in pairs {
        writer.write_all(b"x").context("write")?;
        thread.join()?;
    }
    Ok(())
}
