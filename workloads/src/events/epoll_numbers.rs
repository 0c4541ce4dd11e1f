//! Files that are watched under several numbers, or under one that is closed or of another file by
//! now.

use super::helpers::{add, control, epoll, eventfd, events, watch};
use crate::framework::prelude::*;
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "watches under numbers that are closed, or of other files by now, and one file twice",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const IN: i32 = libc::EPOLLIN;

fn run(cx: &mut Ctx) -> Outcome {
    let poll = epoll()?;
    let (twice, closed, replaced) = (eventfd(0, 0)?, eventfd(0, 0)?, eventfd(0, 0)?);
    let again = fd::dup_to(&twice, 150, libc::O_CLOEXEC)?;
    watch(&poll, &twice, IN, 1)?;
    watch(&poll, &again, IN, 2)?;
    // Closed; the file lives on under another number.
    let gone = fd::dup_to(&closed, 160, 0)?;
    watch(&poll, &gone, IN, 3)?;
    drop(gone);
    // Of a file that is watched itself.
    let number = fd::dup_to(&replaced, 170, 0)?;
    watch(&poll, &number, IN, 4)?;
    let other = eventfd(0, 0)?;
    let raw = number.into_raw_fd();
    // SAFETY: the number is ours; dup2 closes what it was.
    let now = unsafe {
        OwnedFd::from_raw_fd(sys::check("dup2", libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&other), raw))?)
    };
    watch(&poll, &now, IN, 5)?;

    cx.ready()?;

    expect_eq("before", events(&poll, 0)?, vec![])?;
    add(&twice, 1)?;
    expect_eq("one file twice", events(&poll, 0)?, vec![(1, IN), (2, IN)])?;
    add(&closed, 1)?;
    add(&replaced, 1)?;
    expect_eq("closed and replaced numbers", events(&poll, 0)?, vec![(1, IN), (2, IN), (3, IN), (4, IN)])?;
    add(&other, 1)?;
    expect_eq("all", events(&poll, 0)?, vec![(1, IN), (2, IN), (3, IN), (4, IN), (5, IN)])?;
    expect(!fd::is_open(160), || "the closed number is open".into())?;
    control(&poll, libc::EPOLL_CTL_DEL, &again, 0, 0)?;
    control(&poll, libc::EPOLL_CTL_DEL, &now, 0, 0)?;
    expect_eq("without two", events(&poll, 0)?, vec![(1, IN), (3, IN), (4, IN)])
}
