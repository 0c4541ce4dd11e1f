//! A process waits in read(2) for an empty eventfd, another in write(2) for a full one, a third in
//! poll(2).

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in reading, writing and polling eventfds get what comes afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (empty, full, polled) = (helpers::eventfd(0, 0)?, helpers::eventfd(0, 0)?, helpers::eventfd(0, 0)?);
    helpers::add(&full, u64::MAX - 1)?;
    let reader = fork("the reader", || expect_eq("read", helpers::take(&empty)?, 41u64))?;
    let writer = fork("the writer", || helpers::add(&full, 9))?;
    let poller = fork("the poller", || {
        let mut one = [0u8; 8];
        one[..4].copy_from_slice(&std::os::fd::AsRawFd::as_raw_fd(&polled).to_ne_bytes());
        one[4..6].copy_from_slice(&libc::POLLIN.to_ne_bytes());
        // SAFETY: one pollfd that lives through the call; no timeout and no mask.
        let got = unsafe { libc::syscall(libc::SYS_ppoll, one.as_mut_ptr(), 1usize, 0usize, 0usize, 8usize) };
        expect_eq("ready", sys::check("ppoll", got)?, 1)?;
        expect_eq("polled", helpers::take(&polled)?, 7u64)
    })?;
    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&writer, libc::SYS_write)?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;

    cx.ready()?;

    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&writer, libc::SYS_write)?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;
    helpers::add(&empty, 41)?;
    reader.join()?;
    expect_eq("what was full", helpers::take(&full)?, u64::MAX - 1)?;
    writer.join()?;
    expect_eq("what the writer added", helpers::take(&full)?, 9u64)?;
    helpers::add(&polled, 7)?;
    poller.join()
}
