//! One process has the master, another the terminal, under several numbers and opened twice.

use super::helpers::{self, Pty, expect_read, path, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a terminal whose sides are in two processes, opened twice and duplicated",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let Pty { master, slave, index } = Pty::new()?;
    let child = stage.fork("the program", |stage| {
        let (copy, again) = (fd::dup(&slave)?, fd::open(path(index), libc::O_WRONLY | libc::O_NOCTTY, 0)?);
        helpers::close_copy(&master);
        fd::fcntl(&again, libc::F_SETFL, fd::flags(&again)? | libc::O_APPEND)?;
        stage.hold();
        expect_eq("line", read_line(&copy)?, "hello\n")?;
        fd::fcntl(&copy, libc::F_SETFL, fd::flags(&copy)? | libc::O_NONBLOCK)?;
        expect_eq("shared flags", fd::flags(&slave)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
        expect_eq(
            "flags of the other",
            fd::flags(&again)? & (libc::O_APPEND | libc::O_NONBLOCK),
            libc::O_APPEND,
        )?;
        fd::write_all(&again, b"answer\n")
    })?;
    drop(slave);

    cx.ready()?;

    fd::write_all(&master, b"hello\n")?;
    stage.release();
    expect_read("echo and answer", &master, b"hello\r\nanswer\r\n")?;
    child.join()?;
    expect_eq("the program has ended", fd::errno("read", fd::read_some(&master, 1))?, libc::EIO)
}
