//! A session whose members have closed their terminal and can open it again.

use super::helpers::{self, Pty};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a controlling terminal that no process of its session has open",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let Pty { master, slave, .. } = Pty::new()?;
    let leader = stage.fork("the leader", |stage| {
        helpers::begin_session(&slave)?;
        helpers::close_copy(&slave);
        stage.hold();
        let terminal = fd::open("/dev/tty", libc::O_RDWR, 0)?;
        expect_eq("foreground", helpers::foreground(&terminal)?, sys::getpid())?;
        fd::write_all(&terminal, b"here\n")
    })?;
    drop(slave);

    cx.ready()?;

    expect_eq("session", helpers::session(&master)?, leader.pid)?;
    stage.release();
    leader.join()?;
    expect_bytes("output", &fd::read_all(&master, 6)?, b"here\r\n")
}
