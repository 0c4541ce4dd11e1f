//! Half a line was typed; then a program wants every character.

use super::helpers::{self, Pty, expect_nothing, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the beginning of a line that is read as single characters in the end",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::new()?;
    fd::write_all(&pty.master, b"whole\nhal")?;
    sync::wait_until("the echo", || Ok(fd::available(&pty.master)? == 10))?;

    cx.ready()?;

    expect_eq("line", read_line(&pty.slave)?, "whole\n")?;
    expect_nothing("half a line", &pty.slave)?;
    helpers::set(&pty.slave, |termios| termios.c_lflag &= !libc::ICANON)?;
    expect_eq("characters", read_line(&pty.slave)?, "hal")
}
