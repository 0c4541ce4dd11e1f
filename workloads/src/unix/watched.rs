//! Sockets that an epoll instance watches: level and edge.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "an epoll instance over a listener and connections, by level and by edge",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    let at = helpers::path("door")?;
    let listener = helpers::listener(SockType::Stream, &at)?;
    let (to_level, level) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let (to_edge, edge) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let add = |fd, flags, data| epoll.add(fd, EpollEvent::new(flags, data)).context("epoll_ctl");
    add(&listener, EpollFlags::EPOLLIN, 1)?;
    add(&level, EpollFlags::EPOLLIN, 2)?;
    add(&edge, EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 3)?;
    let ready = || -> anyhow::Result<Vec<u64>> {
        let mut events = [EpollEvent::empty(); 8];
        let count = epoll.wait(&mut events, EpollTimeout::ZERO).context("epoll_wait")?;
        let mut found: Vec<u64> = events[..count].iter().map(EpollEvent::data).collect();
        found.sort_unstable();
        Ok(found)
    };
    helpers::send(&to_level, b"x")?;
    helpers::send(&to_edge, b"x")?;
    expect_eq("before", ready()?, vec![2, 3])?;

    cx.ready()?;

    let found = ready()?;
    expect(found.contains(&2), || format!("the level is lost: {found:?}"))?;
    expect_eq("afterwards", ready()?, vec![2])?;
    helpers::send(&to_edge, b"y")?;
    let client = helpers::connected(SockType::Stream, &at)?;
    expect_eq("new data and a new client", ready()?, vec![1, 2, 3])?;
    helpers::send(&client, b"z")?;
    expect_bytes("the client", &helpers::receive(&helpers::accepted(&listener)?)?, b"z")?;
    expect_bytes("both bytes", &helpers::receive(&edge)?, b"xy")
}
