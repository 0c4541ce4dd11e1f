//! Output is stopped, by the user's ^S and by a program, and writers wait.

use super::helpers::{self, Pty, expect_nothing, expect_read};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "terminals whose output is stopped by ^S and by tcflow, with blocked writers",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (by_user, by_program) = (Pty::new()?, Pty::new()?);
    fd::write_all(&by_user.slave, b"before ")?;
    fd::write_all(&by_user.master, b"\x13")?;
    helpers::request(&by_program.slave, libc::TCXONC, libc::TCOOFF)?;
    sync::wait_until("output to stop", || Ok(fd::ready_for(&by_user.slave, libc::POLLOUT)? == 0))?;
    let writer = |pty: &Pty| fork("a writer", || fd::write_all(&pty.slave, b"after"));
    let writers = [writer(&by_user)?, writer(&by_program)?];
    writers.iter().try_for_each(|writer| stage.wait_in(writer, libc::SYS_write))?;

    cx.ready()?;

    writers.iter().try_for_each(|writer| stage.wait_in(writer, libc::SYS_write))?;
    expect_read("what was written before", &by_user.master, b"before ")?;
    expect_nothing("output of the first", &by_user.master)?;
    expect_nothing("output of the second", &by_program.master)?;
    // Any other character starts nothing, nor does ^Q what a program has stopped.
    fd::write_all(&by_program.master, b"\x11")?;
    fd::write_all(&by_user.master, b"\x11")?;
    expect_read("what was written after", &by_user.master, b"after")?;
    expect_nothing("output of the second", &by_program.master)?;
    helpers::request(&by_program.slave, libc::TCXONC, libc::TCOON)?;
    expect_read("what was written after", &by_program.master, b"after")?;
    writers.into_iter().try_for_each(Child::join)
}
