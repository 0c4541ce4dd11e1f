//! A process waits for a line, another for output, a third with poll(2).

use super::helpers::{Pty, expect_read, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in reading from both sides of a terminal",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (typed, shown) = (Pty::new()?, Pty::raw()?);
    let line = fork("waits for a line", || expect_eq("line", read_line(&typed.slave)?, "typed\n"))?;
    let output = fork("waits for output", || expect_read("output", &shown.master, b"said"))?;
    stage.wait_in(&line, libc::SYS_read)?;
    stage.wait_in(&output, libc::SYS_read)?;

    cx.ready()?;

    stage.wait_in(&line, libc::SYS_read)?;
    stage.wait_in(&output, libc::SYS_read)?;
    fd::write_all(&typed.master, b"typed")?;
    fd::write_all(&typed.master, b"\n")?;
    fd::write_all(&shown.slave, b"said")?;
    line.join()?;
    output.join()?;
    expect_read("echo", &typed.master, b"typed\r\n")
}
