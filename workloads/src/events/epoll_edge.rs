//! Edge-triggered and one-shot watches that have not been reported.

use super::helpers::{add, control, epoll, eventfd, events, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an edge that was not fetched is reported once, a one-shot watch once until it is armed again",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const IN: i32 = libc::EPOLLIN;

fn run(cx: &mut Ctx) -> Outcome {
    let poll = epoll()?;
    let (edge, quiet) = (eventfd(1, 0)?, eventfd(0, 0)?);
    let (once, later) = (eventfd(1, 0)?, eventfd(0, 0)?);
    watch(&poll, &edge, IN | libc::EPOLLET, 1)?;
    watch(&poll, &quiet, IN | libc::EPOLLET, 2)?;
    watch(&poll, &once, IN | libc::EPOLLONESHOT, 3)?;
    watch(&poll, &later, IN | libc::EPOLLONESHOT | libc::EPOLLET, 4)?;

    cx.ready()?;

    expect_eq("what was not fetched", events(&poll, 0)?, vec![(1, IN), (3, IN)])?;
    expect_eq("a second time", events(&poll, 0)?, vec![])?;
    add(&edge, 1)?;
    add(&quiet, 1)?;
    add(&once, 1)?;
    add(&later, 1)?;
    expect_eq("what is new", events(&poll, 0)?, vec![(1, IN), (2, IN), (4, IN)])?;
    expect_eq("nothing", events(&poll, 0)?, vec![])?;
    control(&poll, libc::EPOLL_CTL_MOD, &once, IN | libc::EPOLLONESHOT, 5)?;
    expect_eq("armed again", events(&poll, 0)?, vec![(5, IN)])
}
