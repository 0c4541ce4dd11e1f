//! The master is closed: the session is told, and its terminal is gone.

use super::helpers::{self, Pty};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a terminal that hangs up: signals for its session, end of file, no controlling terminal",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let Pty { master, slave, .. } = Pty::new()?;
    let leader = stage.fork("the leader", |stage| {
        helpers::close_copy(&master);
        signal::block(&[libc::SIGHUP])?;
        helpers::begin_session(&slave)?;
        stage.hold();
        signal::take_soon(&[libc::SIGHUP])?;
        expect_eq("end of file", fd::read_some(&slave, 1)?.len(), 0)?;
        let again = fd::open("/dev/tty", libc::O_RDWR, 0);
        expect_eq("controlling terminal", fd::errno("open", again)?, libc::ENXIO)
    })?;
    drop(slave);

    cx.ready()?;

    drop(master);
    stage.release();
    leader.join()
}
