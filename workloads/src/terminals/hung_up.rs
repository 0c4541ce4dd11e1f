//! The master is gone, as that of a user who has logged out.

use super::helpers::Pty;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "terminals that have hung up, open several times",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let Pty { master, slave, index } = Pty::new()?;
    let again = fd::open(super::helpers::path(index), libc::O_WRONLY | libc::O_NOCTTY, 0)?;
    let copy = fd::dup(&again)?;
    drop(master);
    let child = stage.fork("a child that has it, too", |stage| {
        stage.hold();
        expect_eq("end of file", fd::read_some(&slave, 1)?.len(), 0)
    })?;

    cx.ready()?;

    expect_eq("end of file", fd::read_some(&slave, 1)?.len(), 0)?;
    expect_eq("nobody reads", fd::errno("write", fd::write_some(&again, b"x"))?, libc::EIO)?;
    let hung_up = libc::POLLHUP | libc::POLLERR;
    expect_eq("hung up", fd::ready_for(&copy, 0)? & hung_up, hung_up)?;
    fd::fcntl(&again, libc::F_SETFL, fd::flags(&again)? | libc::O_NONBLOCK)?;
    expect_eq("shared flags", fd::flags(&copy)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
    expect_eq("flags of the other", fd::flags(&slave)? & libc::O_NONBLOCK, 0)?;
    stage.release();
    child.join()
}
