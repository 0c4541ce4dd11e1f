//! An epoll instance that another one watches, to the depth that the kernel allows.

use super::helpers::{add, epoll, eventfd, events, take, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "epoll instances that watch each other, to the kernel's depth, with a file at the bottom",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// `EP_MAX_NESTS` of fs/eventpoll.c.
const DEPTH: usize = 4;
const IN: i32 = libc::EPOLLIN;

fn run(cx: &mut Ctx) -> Outcome {
    let bottom = eventfd(0, 0)?;
    let mut nested = vec![epoll()?];
    watch(&nested[0], &bottom, IN, 100)?;
    for depth in 1..DEPTH {
        nested.push(epoll()?);
        watch(&nested[depth], &nested[depth - 1], IN, depth as u64)?;
    }
    // Beside the chain.
    let other = eventfd(1, 0)?;
    watch(&nested[DEPTH - 1], &other, IN, 200)?;

    cx.ready()?;

    let top = &nested[DEPTH - 1];
    expect_eq("at the top", events(top, 0)?, vec![(200, IN)])?;
    add(&bottom, 1)?;
    expect_eq("at the top then", events(top, 0)?, vec![(DEPTH as u64 - 1, IN), (200, IN)])?;
    for depth in (1..DEPTH).rev() {
        let below = events(&nested[depth], 0)?;
        expect(below.contains(&(depth as u64, IN)), || format!("at depth {depth}: {below:?}"))?;
    }
    expect_eq("at the bottom", events(&nested[0], 0)?, vec![(100, IN)])?;
    take(&bottom)?;
    expect_eq("at the top at last", events(top, 0)?, vec![(200, IN)])
}
