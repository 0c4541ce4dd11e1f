//! Counters from empty to full, blocking and not.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "the counts and flags of eventfds, from 0 to the highest",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// A write that would exceed it blocks (eventfd(2)).
const HIGHEST: u64 = u64::MAX - 1;

fn run(cx: &mut Ctx) -> Outcome {
    let counts = [0, 1, 2, 0x1234_5678_9abc, HIGHEST];
    let fds = counts.map(|count| -> anyhow::Result<_> {
        let fd = helpers::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
        if count != 0 {
            helpers::add(&fd, count)?;
        }
        Ok(fd)
    });
    let blocking = helpers::eventfd(5, 0)?;
    let high = fd::dup_to(&blocking, 300, 0)?;

    cx.ready()?;

    for (fd, count) in fds.into_iter().zip(counts) {
        let fd = fd?;
        expect_eq("close-on-exec", fd::cloexec(&fd)?, true)?;
        expect_eq("flags", fd::flags(&fd)?, libc::O_RDWR | libc::O_NONBLOCK)?;
        let ready = fd::ready_for(&fd, libc::POLLIN | libc::POLLOUT)?;
        expect_eq("readable", ready & libc::POLLIN != 0, count != 0)?;
        expect_eq("writable", ready & libc::POLLOUT != 0, count != HIGHEST)?;
        if count == HIGHEST {
            expect_eq("a count too many", fd::errno("write", helpers::add(&fd, 1))?, libc::EAGAIN)?;
        }
        if count != 0 {
            expect_eq("count", helpers::take(&fd)?, count)?;
        }
        expect_eq("empty", fd::errno("read", helpers::take(&fd))?, libc::EAGAIN)?;
        helpers::add(&fd, 3)?;
        expect_eq("count from here on", helpers::take(&fd)?, 3u64)?;
    }
    expect_eq("flags of the one that blocks", fd::flags(&blocking)?, libc::O_RDWR)?;
    expect_eq("close-on-exec of that", fd::cloexec(&blocking)?, false)?;
    helpers::add(&high, 2)?;
    expect_eq("count of that", helpers::take(&blocking)?, 7u64)?;
    expect_eq("number of its duplicate", high.as_raw_fd(), 300)
}
