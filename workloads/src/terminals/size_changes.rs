//! The window of a terminal changes: the job in the foreground is told.

use super::helpers::{self, Pty};
use crate::framework::prelude::*;
use crate::tree::helpers::set_group;

pub const WORKLOAD: Workload = Workload {
    purpose: "a change of the window's size is a signal for the job in the foreground only",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    helpers::set_size(&pty.master, [24, 80, 0, 0])?;
    let leader = stage.fork("the shell", |stage| {
        signal::block(&[libc::SIGWINCH])?;
        helpers::begin_session(&pty.slave)?;
        let job = stage.fork("the job", |stage| {
            stage.hold();
            expect_eq("who tells", signal::take_soon(&[libc::SIGWINCH])?.code(), SI_KERNEL)?;
            expect_eq("size", helpers::size(&pty.slave)?, [30, 100, 0, 0])
        })?;
        set_group(job.pid, job.pid)?;
        helpers::set_foreground(&pty.slave, job.pid)?;
        stage.hold();
        job.join()?;
        expect(signal::take(&[libc::SIGWINCH])?.is_none(), || "the shell was told, too".into())
    })?;

    cx.ready()?;

    expect_eq("size", helpers::size(&pty.slave)?, [24, 80, 0, 0])?;
    helpers::set_size(&pty.master, [30, 100, 0, 0])?;
    stage.release();
    leader.join()
}

const SI_KERNEL: i32 = 0x80;
