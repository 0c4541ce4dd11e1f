//! A watch that reports once, and has not done so yet; another one that was armed again.

use super::helpers::{add, control, epoll, eventfd, events, take, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "watches of an epoll instance that report once (EPOLLONESHOT)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (epoll, first, second) = (epoll()?, eventfd(0, 0)?, eventfd(0, 0)?);
    let once = libc::EPOLLIN | libc::EPOLLONESHOT;
    watch(&epoll, &first, once, 1)?;
    watch(&epoll, &second, once, 2)?;
    add(&second, 5)?;
    expect_eq("events", events(&epoll, 0)?, vec![(2, libc::EPOLLIN)])?;
    expect_eq("count", take(&second)?, 5)?;
    control(&epoll, libc::EPOLL_CTL_MOD, &second, once, 3)?;

    cx.ready()?;

    expect_eq("events", events(&epoll, 0)?, vec![])?;
    add(&first, 1)?;
    expect_eq("events", events(&epoll, 0)?, vec![(1, libc::EPOLLIN)])?;
    add(&first, 1)?;
    add(&second, 1)?;
    expect_eq("events", events(&epoll, 0)?, vec![(3, libc::EPOLLIN)])?;
    expect_eq("events", events(&epoll, 0)?, vec![])
}
