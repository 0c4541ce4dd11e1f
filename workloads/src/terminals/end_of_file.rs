//! Nothing was typed but the end of the file; and lines that end in a character of their own.

use super::helpers::{self, Pty, expect_nothing, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an end of file that was typed, and lines with another end than a newline",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (ended, other) = (Pty::new()?, Pty::new()?);
    fd::write_all(&ended.master, b"\x04")?;
    helpers::set(&other.slave, |termios| termios.c_cc[libc::VEOL] = b';')?;
    fd::write_all(&other.master, b"one;two\nthree;four")?;
    sync::wait_until("both", || {
        Ok(fd::ready_for(&ended.slave, libc::POLLIN)? != 0 && fd::available(&other.slave)? == 14)
    })?;

    cx.ready()?;

    expect_eq("end of file", read_line(&ended.slave)?, "")?;
    expect_nothing("after that", &ended.slave)?;
    for line in ["one;", "two\n", "three;"] {
        expect_eq("line", read_line(&other.slave)?, line)?;
    }
    fd::write_all(&other.master, b";")?;
    expect_eq("line", read_line(&other.slave)?, "four;")
}
