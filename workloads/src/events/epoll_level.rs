//! Level-triggered watches of pipes, an eventfd and a timerfd, some ready and some not.

use super::helpers::{add, arm, control, epoll, eventfd, events, take, timerfd, watch};
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "what epoll_wait tells of ready and unready files, with data words of 64 bits, before and after",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const IN: i32 = libc::EPOLLIN;
const OUT: i32 = libc::EPOLLOUT;
const FAR: u64 = 0xfeed_0000_0000_0003;

fn run(cx: &mut Ctx) -> Outcome {
    let poll = epoll()?;
    let (reader, writer) = fd::pipe(0)?;
    let (full, empty) = (eventfd(5, 0)?, eventfd(0, 0)?);
    let timer = timerfd(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK)?;
    arm(&timer, 0, (Duration::from_nanos(1), Duration::ZERO))?;
    sync::wait_until("the timer to expire", || Ok(fd::ready_for(&timer, libc::POLLIN)? != 0))?;
    watch(&poll, &reader, IN, u64::MAX)?;
    watch(&poll, &writer, OUT, 1)?;
    watch(&poll, &full, IN, FAR)?;
    watch(&poll, &empty, IN | libc::EPOLLPRI, 4)?;
    watch(&poll, &timer, IN, 5)?;

    cx.ready()?;

    let ready = |more: &[(u64, i32)]| {
        let mut all = vec![(1, OUT), (5, IN), (FAR, IN)];
        all.extend(more);
        all.sort_unstable();
        all
    };
    expect_eq("what is ready", events(&poll, 0)?, ready(&[]))?;
    fd::write_all(&writer, b"x")?;
    add(&empty, 1)?;
    expect_eq("what is ready then", events(&poll, 0)?, ready(&[(4, IN), (u64::MAX, IN)]))?;
    take(&full)?;
    take(&timer)?;
    control(&poll, libc::EPOLL_CTL_MOD, &empty, IN, 44)?;
    control(&poll, libc::EPOLL_CTL_DEL, &reader, 0, 0)?;
    expect_eq("what is ready at last", events(&poll, 0)?, vec![(1, OUT), (44, IN)])
}
