//! A process waits in read(2) of an inotify instance that it shares with its parent, another in
//! epoll_wait(2).

use super::helpers::{await_input, epoll, events, inotify, notices, watch, watch_path};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "inotify that is read, polled and in an epoll instance",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    std::fs::create_dir("directory").context("mkdir")?;
    let [read, polled, watched] = [inotify(0)?, inotify(0)?, inotify(0)?];
    for instance in [&read, &polled, &watched] {
        watch_path(instance, "directory", libc::IN_CREATE)?;
    }
    let poll = epoll()?;
    watch(&poll, &watched, libc::EPOLLIN, 5)?;
    let created = || vec![(1, libc::IN_CREATE, "new".to_owned())];
    let reader = fork("the reader", || expect_eq("read", notices(&read)?, created()))?;
    let poller = fork("the poller", || {
        await_input(&polled)?;
        expect_eq("polled", notices(&polled)?, created())
    })?;
    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;
    expect_eq("ready", events(&poll, 0)?, vec![])?;

    cx.ready()?;

    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;
    expect_eq("ready", events(&poll, 0)?, vec![])?;
    std::fs::create_dir("directory/new").context("mkdir")?;
    let ready = events(&poll, 0)?;
    expect_eq("ready then", ready, vec![(5, libc::EPOLLIN)])?;
    reader.join()?;
    poller.join()
}
