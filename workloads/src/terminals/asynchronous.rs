//! A process is sent a signal when something is typed.

use super::helpers::{Pty, read_line};
use crate::framework::prelude::*;
use crate::pipes::helpers::{make_asynchronous, notification};

pub const WORKLOAD: Workload = Workload {
    purpose: "a terminal that sends its owner a signal when a line is typed",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::new()?;
    let number = libc::SIGRTMIN() + 2;
    signal::block(&[number])?;
    make_asynchronous(&pty.slave, number)?;

    cx.ready()?;

    expect_eq("notification", notification(&pty.slave)?, (sys::getpid(), number, true))?;
    // What a checkpoint has looked at is no event that a program may rely on.
    while signal::take(&[number])?.is_some() {}
    fd::write_all(&pty.master, b"typed\n")?;
    signal::take_soon(&[number])?;
    expect_eq("line", read_line(&pty.slave)?, "typed\n")
}
