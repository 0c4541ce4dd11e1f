//! The modes of a master: packets, and the other side locked and exclusive.

use super::helpers::{self, Pty, TIOCGEXCL, TIOCGPKT, TIOCGPTLCK};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a master in packet mode whose other side is locked, and an exclusive terminal",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (pty, plain) = (Pty::new()?, Pty::new()?);
    helpers::set_number(&pty.master, libc::TIOCPKT, 1)?;
    helpers::request(&plain.slave, libc::TIOCEXCL, 0)?;
    helpers::lock(&pty.master, true)?;
    fd::write_all(&pty.slave, b"said")?;

    cx.ready()?;

    let modes = |pty: &Pty| -> anyhow::Result<[i32; 3]> {
        Ok([
            helpers::number(&pty.master, TIOCGPKT)?,
            helpers::number(&pty.master, TIOCGPTLCK)?,
            helpers::number(&pty.slave, TIOCGEXCL)?,
        ])
    };
    expect_eq("modes", modes(&pty)?, [1, 1, 0])?;
    expect_eq("modes of the other", modes(&plain)?, [0, 0, 1])?;
    let again = fd::open(helpers::path(pty.index), libc::O_RDWR | libc::O_NOCTTY, 0);
    expect_eq("a locked one", fd::errno("open", again)?, libc::EIO)?;
    expect_bytes("a packet of data", &fd::read_some(&pty.master, 100)?, b"\0said")?;
    helpers::request(&pty.slave, libc::TCFLSH, libc::TCIFLUSH)?;
    const TIOCPKT_FLUSHREAD: u8 = 1;
    expect_bytes("a packet of status", &fd::read_some(&pty.master, 100)?, &[TIOCPKT_FLUSHREAD])
}
