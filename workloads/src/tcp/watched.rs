//! An epoll instance that watches a listener and connections.

use super::helpers::{await_bytes, await_end, end, listener, pair_of, receive, send};
use crate::events::helpers::{epoll, events, watch};
use crate::framework::prelude::*;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

pub const WORKLOAD: Workload = Workload {
    purpose: "what epoll tells of a TCP listener and of connections, before and after",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

const IN: i32 = libc::EPOLLIN;
const HUP: i32 = libc::EPOLLRDHUP;

fn run(cx: &mut Ctx) -> Outcome {
    let poll = epoll()?;
    let listener = listener("127.0.0.1")?;
    let owned = |stream: &TcpStream| Ok::<_, anyhow::Error>(OwnedFd::from(stream.try_clone()?));
    let ((one, quiet), (two, full), (three, over)) =
        (pair_of(&listener)?, pair_of(&listener)?, pair_of(&listener)?);
    send(&two, b"x")?;
    end(&three)?;
    await_bytes(&full, 1)?;
    await_end(&over)?;
    let watched = OwnedFd::from(listener.try_clone()?);
    watch(&poll, &watched, IN, 1)?;
    let (a, b, c) = (owned(&quiet)?, owned(&full)?, owned(&over)?);
    watch(&poll, &a, IN | HUP, 2)?;
    watch(&poll, &b, IN | HUP, 3)?;
    watch(&poll, &c, IN | HUP, 4)?;

    cx.ready()?;

    expect_eq("what is ready", events(&poll, 0)?, vec![(3, IN), (4, IN | HUP)])?;
    receive(&full, 1)?;
    send(&one, b"y")?;
    let client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    await_bytes(&quiet, 1)?;
    expect_eq("what is ready then", events(&poll, 0)?, vec![(1, IN), (2, IN), (4, IN | HUP)])?;
    drop((client, two, three));
    Ok(())
}
