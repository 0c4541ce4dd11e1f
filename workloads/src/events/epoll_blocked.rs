//! Processes and threads that wait in epoll_wait(2) and epoll_pwait(2).

use super::helpers::{add, epoll, eventfd, events, take, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process and a thread blocked in epoll_wait get what comes afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const IN: i32 = libc::EPOLLIN;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (poll, wake) = (epoll()?, eventfd(0, 0)?);
    watch(&poll, &wake, IN, 7)?;
    let child = fork("the child", || {
        expect_eq("in the child", events(&poll, -1)?, vec![(7, IN)])?;
        expect_eq("what woke it", take(&wake)?, 3u64)
    })?;
    stage.wait_in(&child, arch::EPOLL_WAIT)?;
    let (mine, bell) = (epoll()?, eventfd(0, 0)?);
    watch(&mine, &bell, IN | libc::EPOLLET, 8)?;
    let thread = thread::spawn(move || expect_eq("in the thread", events(&mine, -1)?, vec![(8, IN)]))?;
    thread.wait_blocked_in(arch::EPOLL_WAIT)?;

    cx.ready()?;

    stage.wait_in(&child, arch::EPOLL_WAIT)?;
    thread.wait_blocked_in(arch::EPOLL_WAIT)?;
    add(&wake, 3)?;
    child.join()?;
    add(&bell, 1)?;
    thread.join()
}
