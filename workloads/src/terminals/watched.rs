//! An epoll instance watches both sides of a terminal.

use super::helpers::{Pty, read_line};
use crate::events::helpers::{epoll, events, watch};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an epoll instance that watches both sides of a terminal",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (pty, epoll) = (Pty::raw()?, epoll()?);
    watch(&epoll, &pty.master, libc::EPOLLIN, 1)?;
    watch(&epoll, &pty.slave, libc::EPOLLIN, 2)?;
    expect_eq("events", events(&epoll, 0)?, vec![])?;

    cx.ready()?;

    expect_eq("events", events(&epoll, 0)?, vec![])?;
    fd::write_all(&pty.slave, b"said")?;
    expect_eq("events", events(&epoll, -1)?, vec![(1, libc::EPOLLIN)])?;
    expect_eq("output", read_line(&pty.master)?, "said")?;
    fd::write_all(&pty.master, b"typed")?;
    expect_eq("events", events(&epoll, -1)?, vec![(2, libc::EPOLLIN)])?;
    expect_eq("input", read_line(&pty.slave)?, "typed")
}
