//! Lines that were typed and not read, one ended by the end-of-file character, an end of file, and
//! the beginning of a line with a quoted character.

use super::helpers::{Pty, expect_nothing, expect_read, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "lines typed on a terminal and not read, the beginning of one, and their echo",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::new()?;
    fd::write_all(&pty.slave, b"name? ")?;
    fd::write_all(&pty.master, b"first\nsecond\x04\x04half a \x16\x04X")?;
    const ECHO: &[u8] = b"name? first\r\nsecondhalf a ^\x08^DX";
    sync::wait_until("the echo", || Ok(fd::available(&pty.master)? as usize == ECHO.len()))?;

    cx.ready()?;

    pty.expect_numbers()?;
    expect_read("output", &pty.master, ECHO)?;
    expect_nothing("more output", &pty.master)?;
    fd::write_all(&pty.master, b"\x7fline\n")?;
    for want in ["first\n", "second", "", "half a \x04line\n"] {
        expect_eq("line", read_line(&pty.slave)?, want)?;
    }
    expect_nothing("more input", &pty.slave)
}
