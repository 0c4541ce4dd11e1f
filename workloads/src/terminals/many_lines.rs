//! Very many lines that were typed ahead, and a long one.

use super::helpers::{self, Pty, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "hundreds of lines typed ahead, empty and long ones",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn line(number: usize) -> String {
    format!("{}\n", "x".repeat(if number == 7 { 1000 } else { number % 4 }))
}

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::new()?;
    helpers::set(&pty.slave, |termios| termios.c_lflag &= !libc::ECHO)?;
    let all: String = (0..300).map(line).collect();
    fd::write_all(&pty.master, all.as_bytes())?;
    sync::wait_until("all lines", || Ok(fd::available(&pty.slave)? as usize == all.len()))?;

    cx.ready()?;

    for number in 0..300 {
        expect_eq("line", read_line(&pty.slave)?, line(number))?;
    }
    Ok(())
}
