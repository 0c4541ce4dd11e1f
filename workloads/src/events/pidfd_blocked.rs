//! A process waits in poll(2) for the end of another.

use super::helpers::{has_ended, pidfd};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in polling a pidfd is woken when the other process ends",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let awaited = stage.fork("the awaited", |stage| {
        stage.hold();
        Ok(())
    })?;
    let end = pidfd(awaited.pid, 0)?;
    let poller = fork("the poller", || {
        let mut one = [0u8; 8];
        one[..4].copy_from_slice(&end.as_raw_fd().to_ne_bytes());
        one[4..6].copy_from_slice(&libc::POLLIN.to_ne_bytes());
        // SAFETY: one pollfd that lives through the call; no timeout and no mask.
        let got = unsafe { libc::syscall(libc::SYS_ppoll, one.as_mut_ptr(), 1usize, 0usize, 0usize, 8usize) };
        expect_eq("ready", sys::check("ppoll", got)?, 1)?;
        expect(has_ended(&end)?, || "the other process has ended".into())
    })?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;

    cx.ready()?;

    stage.wait_in(&poller, libc::SYS_ppoll)?;
    stage.release();
    poller.join()?;
    awaited.join()
}
