//! Two processes wait exclusively for the same eventfd: one event wakes one of them.

use super::helpers::{add, control, epoll, eventfd, events, take};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "exclusive watches (EPOLLEXCLUSIVE) of one eventfd in two processes",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, counter) = (Stage::new()?, eventfd(0, libc::EFD_SEMAPHORE)?);
    let woken = stage.shared().number(1);
    let waits = |name| {
        fork(name, || {
            let epoll = epoll()?;
            let how = libc::EPOLLIN | libc::EPOLLEXCLUSIVE;
            control(&epoll, libc::EPOLL_CTL_ADD, &counter, how, 3)?;
            expect_eq("events", events(&epoll, -1)?, vec![(3, libc::EPOLLIN)])?;
            take(&counter)?;
            woken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        })
    };
    let both = [waits("one")?, waits("another")?];
    both.iter().try_for_each(|child| stage.wait_in(child, EPOLL_WAIT))?;

    cx.ready()?;

    both.iter().try_for_each(|child| stage.wait_in(child, EPOLL_WAIT))?;
    add(&counter, 1)?;
    sync::wait_until("one to wake up", || Ok(woken.load(std::sync::atomic::Ordering::SeqCst) == 1))?;
    add(&counter, 1)?;
    both.into_iter().try_for_each(Child::join)
}

/// What epoll_wait(3) calls.
const EPOLL_WAIT: libc::c_long =
    if cfg!(target_arch = "aarch64") { libc::SYS_epoll_pwait } else { EPOLL_WAIT_PLAIN };
#[cfg(target_arch = "aarch64")]
const EPOLL_WAIT_PLAIN: libc::c_long = 0;
#[cfg(not(target_arch = "aarch64"))]
const EPOLL_WAIT_PLAIN: libc::c_long = libc::SYS_epoll_wait;
