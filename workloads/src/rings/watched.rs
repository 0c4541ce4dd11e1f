//! An epoll instance watches a ring.

use super::helpers::{NOP, Request, Ring};
use crate::events::helpers::{epoll, events, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring that an epoll instance watches",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut ring = Ring::new(4)?;
    ring.spin(5, 0)?;
    let epoll = epoll()?;
    watch(&epoll, &ring.fd, libc::EPOLLIN, 7)?;
    expect_eq("events", events(&epoll, 0)?, vec![])?;

    cx.ready()?;

    expect_eq("events", events(&epoll, 0)?, vec![])?;
    ring.queue(Request { opcode: NOP, word: 1, ..Request::default() })?;
    expect_eq("submitted", ring.enter(1, 0)?, 1)?;
    expect_eq("events", events(&epoll, -1)?, vec![(7, libc::EPOLLIN)])?;
    expect_eq("completion", ring.take(), Some((1, 0)))?;
    expect_eq("events", events(&epoll, 0)?, vec![])
}
