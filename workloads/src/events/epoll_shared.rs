//! One epoll instance in a parent and its child, which each watch files of their own.

use super::helpers::{add, epoll, eventfd, events, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an epoll instance that parent and child share reports the files of both to both",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const IN: i32 = libc::EPOLLIN;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (poll, own) = (epoll()?, epoll()?);
    let (ours, both) = (eventfd(1, 0)?, eventfd(0, 0)?);
    watch(&poll, &ours, IN, 1)?;
    watch(&own, &both, IN, 9)?;
    let turn = |n: u32| stage.shared().cell(1).wait("the other process", n);
    let child = stage.fork("the child", |stage| {
        // Under the number that `ours` had in the parent.
        let theirs = eventfd(1, 0)?;
        let theirs = fd::dup_to(&theirs, 140, 0)?;
        watch(&poll, &theirs, IN, 2)?;
        watch(&poll, &both, IN, 3)?;
        let apart = epoll()?;
        watch(&apart, &theirs, IN | libc::EPOLLET, 4)?;
        stage.hold();
        turn(1)?;
        expect_eq("in the child", events(&poll, 0)?, vec![(1, IN), (2, IN), (3, IN)])?;
        expect_eq("the child's own", events(&apart, 0)?, vec![(4, IN)])?;
        stage.shared().cell(1).set(2);
        turn(3)
    })?;

    cx.ready()?;

    expect_eq("in the parent", events(&poll, 0)?, vec![(1, IN), (2, IN)])?;
    expect_eq("the parent's own", events(&own, 0)?, vec![])?;
    add(&both, 1)?;
    stage.release();
    stage.shared().cell(1).set(1);
    turn(2)?;
    expect_eq("the parent's own then", events(&own, 0)?, vec![(9, IN)])?;
    stage.shared().cell(1).set(3);
    child.join()?;
    // The child's file has gone with it.
    expect_eq("after the child", events(&poll, 0)?, vec![(1, IN), (3, IN)])
}
