//! A terminal program inside of a terminal: what is typed outside passes through both.

use super::helpers::{Pty, expect_read, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a program that passes what it reads from a terminal on to another one",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, outer) = (Stage::new()?, Pty::raw()?);
    let between = stage.fork("between", |stage| {
        let inner = Pty::new()?;
        let program = fork("the program", || {
            expect_eq("line", read_line(&inner.slave)?, "through both\n")?;
            fd::write_all(&inner.slave, b"and back\n")
        })?;
        stage.wait_in(&program, libc::SYS_read)?;
        stage.hold();
        let typed = fd::read_all(&outer.slave, 13)?;
        fd::write_all(&inner.master, &typed)?;
        program.join()?;
        let shown = fd::read_all(&inner.master, 24)?;
        fd::write_all(&outer.slave, &shown)
    })?;

    cx.ready()?;

    fd::write_all(&outer.master, b"through both\n")?;
    stage.release();
    expect_read("echo and answer", &outer.master, b"through both\r\nand back\r\n")?;
    between.join()
}
