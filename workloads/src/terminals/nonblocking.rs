//! Descriptions that do not wait, beside one that does.

use super::helpers::{Pty, path, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "both sides of a terminal with O_NONBLOCK, and another description without",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::new()?;
    let waits = fd::open(path(pty.index), libc::O_RDONLY | libc::O_NOCTTY, 0)?;
    for end in [&pty.master, &pty.slave] {
        fd::fcntl(end, libc::F_SETFL, fd::flags(end)? | libc::O_NONBLOCK)?;
    }

    cx.ready()?;

    for end in [&pty.master, &pty.slave] {
        expect_eq("nothing to read", fd::errno("read", fd::read_some(end, 1))?, libc::EAGAIN)?;
    }
    expect_eq("the other", fd::flags(&waits)? & (libc::O_NONBLOCK | libc::O_ACCMODE), libc::O_RDONLY)?;
    fd::write_all(&pty.master, b"line\n")?;
    expect_eq("line", read_line(&waits)?, "line\n")?;
    expect_eq("nothing left", fd::errno("read", fd::read_some(&pty.slave, 1))?, libc::EAGAIN)
}
