//! An epoll instance watches a timerfd that ticks, a signalfd and a pidfd.

use super::helpers::{arm, epoll, events, pidfd, read_signal, signalfd, take, timerfd, watch};
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "an epoll instance that watches a timerfd, a signalfd and a pidfd",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    signal::block(&[libc::SIGUSR1])?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        Ok(())
    })?;
    let epoll = epoll()?;
    let (timer, signals, process) =
        (timerfd(libc::CLOCK_MONOTONIC, 0)?, signalfd(&[libc::SIGUSR1], 0)?, pidfd(child.pid, 0)?);
    watch(&epoll, &timer, libc::EPOLLIN, 1)?;
    watch(&epoll, &signals, libc::EPOLLIN, 2)?;
    watch(&epoll, &process, libc::EPOLLIN, 3)?;
    expect_eq("events", events(&epoll, 0)?, vec![])?;

    cx.ready()?;

    expect_eq("events", events(&epoll, 0)?, vec![])?;
    signal::kill(sys::getpid(), libc::SIGUSR1)?;
    expect_eq("events", events(&epoll, -1)?, vec![(2, libc::EPOLLIN)])?;
    expect_eq("signal", read_signal(&signals)?.0, libc::SIGUSR1)?;
    arm(&timer, 0, (Duration::from_millis(1), Duration::ZERO))?;
    expect_eq("events", events(&epoll, -1)?, vec![(1, libc::EPOLLIN)])?;
    expect_eq("expirations", take(&timer)?, 1)?;
    stage.release();
    expect_eq("events", events(&epoll, -1)?, vec![(3, libc::EPOLLIN)])?;
    child.join()
}
