//! The last program has closed the terminal: its last words are not read, nor what was typed ahead.

use super::helpers::{Pty, expect_read, master, path, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a master whose other side has been closed, with last words and typed-ahead input",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let Pty { master: left, slave, index } = Pty::new()?;
    fd::write_all(&left, b"ahead\nhal")?;
    sync::wait_until("the echo", || Ok(fd::available(&left)? == 10))?;
    fd::write_all(&slave, b"last words")?;
    drop(slave);
    // Closed without a word.
    let (silent, other) = master()?;
    drop(fd::open(path(other), libc::O_RDWR | libc::O_NOCTTY, 0)?);

    cx.ready()?;

    for end in [&left, &silent] {
        expect_eq("hung up", fd::ready_for(end, libc::POLLIN)? & libc::POLLHUP, libc::POLLHUP)?;
    }
    expect_read("echo and last words", &left, b"ahead\r\nhallast words")?;
    expect_eq("then", fd::errno("read", fd::read_some(&left, 1))?, libc::EIO)?;
    expect_eq("at once", fd::errno("read", fd::read_some(&silent, 1))?, libc::EIO)?;
    let slave = fd::open(path(index), libc::O_RDWR | libc::O_NOCTTY, 0)?;
    fd::write_all(&left, b"f\n")?;
    expect_eq("line", read_line(&slave)?, "ahead\n")?;
    expect_eq("line", read_line(&slave)?, "half\n")
}
