//! poll(2) on an empty pipe, without a timeout and for an hour. Neither may return before there is
//! data to read.

use crate::framework::prelude::*;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads blocked in poll, without a timeout and with a long one",
    needs: &[],
    // arm64 has only ppoll(2), which writes the remaining time into memory when a checkpoint
    // interrupts it.
    active: cfg!(target_arch = "aarch64"),
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut pairs = Vec::new();
    for timeout in [-1, 3_600_000] {
        let (reader, writer) = std::io::pipe().context("pipe")?;
        let thread = thread::spawn(move || {
            let mut fds = [libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
            // SAFETY: the array lives through the call.
            let ready = sys::check("poll", unsafe { libc::poll(fds.as_mut_ptr(), 1, timeout) })?;
            expect_eq("descriptors that poll found", (ready, fds[0].revents), (1, libc::POLLIN))
        })?;
        thread.wait_blocked_in(arch::POLL)?;
        pairs.push((thread, writer));
    }

    cx.ready()?;

    for (thread, mut writer) in pairs {
        writer.write_all(b"x").context("write")?;
        thread.join()?;
    }
    Ok(())
}
