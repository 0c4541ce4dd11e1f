//! Epoll watches a socket with a datagram and one without.

use super::helpers::{local, name, send, take};
use crate::events::helpers::{epoll, events, watch};
use crate::framework::prelude::*;
use std::os::fd::OwnedFd;

pub const WORKLOAD: Workload = Workload {
    purpose: "epoll_wait tells of the UDP socket in whose queue a datagram is",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    const IN: i32 = libc::EPOLLIN;
    let (poll, full, empty, sender) = (epoll()?, local()?, local()?, local()?);
    let (to_full, to_empty) = (name(&full)?, name(&empty)?);
    let (full, empty) = (OwnedFd::from(full), OwnedFd::from(empty));
    watch(&poll, &full, IN, 1)?;
    watch(&poll, &empty, IN, 2)?;
    send(&sender, b"x", to_full)?;

    cx.ready()?;

    expect_eq("what is ready", events(&poll, 0)?, vec![(1, IN)])?;
    send(&sender, b"", to_empty)?;
    expect_eq("what is ready then", events(&poll, 0)?, vec![(1, IN), (2, IN)])?;
    let (full, empty) = (full.into(), empty.into());
    take(&full)?;
    expect_eq("what is ready at last", events(&poll, 0)?, vec![(2, IN)])?;
    take(&empty).map(drop)
}
