//! Processes that wait for signals in read(2) of a signalfd and by epoll.

use super::helpers::{epoll, events, read_signal, signalfd, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in reading a signalfd, and one that watches one, get signals sent afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    signal::block(&[libc::SIGUSR1, libc::SIGCHLD])?;
    let reader = fork("the reader", || {
        let own = signalfd(&[libc::SIGUSR1], 0)?;
        expect_eq("read", read_signal(&own)?.0, libc::SIGUSR1)
    })?;
    stage.wait_in(&reader, libc::SYS_read)?;
    let ours = signalfd(&[libc::SIGUSR1, libc::SIGCHLD], libc::SFD_NONBLOCK)?;
    let poll = epoll()?;
    watch(&poll, &ours, libc::EPOLLIN, 5)?;

    cx.ready()?;

    stage.wait_in(&reader, libc::SYS_read)?;
    expect_eq("before", events(&poll, 0)?, vec![])?;
    signal::kill(sys::getpid(), libc::SIGUSR1)?;
    expect_eq("a signal of one's own", events(&poll, -1)?, vec![(5, libc::EPOLLIN)])?;
    expect_eq("which", read_signal(&ours)?.0, libc::SIGUSR1)?;
    let pid = reader.pid;
    signal::kill(pid, libc::SIGUSR1)?;
    expect_eq("the end of the child", events(&poll, -1)?, vec![(5, libc::EPOLLIN)])?;
    let end = read_signal(&ours)?;
    expect_eq("whose", (end.0, end.2), (libc::SIGCHLD, pid))?;
    reader.join()
}
