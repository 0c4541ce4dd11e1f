//! The leader of a session ends: its job in the foreground is told, and has no terminal any more.

use super::helpers::{self, Pty};
use crate::framework::prelude::*;
use crate::tree::helpers::{become_subreaper, known, set_group};

pub const WORKLOAD: Workload = Workload {
    purpose: "the end of a session's leader is a signal for its job in the foreground",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    become_subreaper()?;
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    let number = stage.shared().cell(1);
    let leader = stage.fork("the leader", |stage| {
        helpers::begin_session(&pty.slave)?;
        let job = stage.fork("the job", |stage| {
            signal::block(&[libc::SIGHUP])?;
            stage.hold();
            signal::take_soon(&[libc::SIGHUP])?;
            // The signal comes first (`disassociate_ctty` in drivers/tty/tty_jobctrl.c).
            sync::wait_until("the controlling terminal to be gone", || {
                let again = fd::open("/dev/tty", libc::O_RDWR, 0);
                Ok(again.is_err_and(|err| sys::errno_in(&err) == Some(libc::ENXIO)))
            })
        })?;
        set_group(job.pid, job.pid)?;
        helpers::set_foreground(&pty.slave, job.pid)?;
        number.set(job.pid.cast_unsigned());
        stage.hold();
        Ok(())
    })?;

    cx.ready()?;

    stage.release();
    leader.join()?;
    known("the job", number.get().cast_signed()).join()?;
    expect_eq("session", helpers::session(&pty.master).map_err(|err| sys::errno_in(&err)).ok(), None)
}
