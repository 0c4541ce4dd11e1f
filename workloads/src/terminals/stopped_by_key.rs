//! ^Z: the job in the foreground is stopped, and its shell goes on.

use super::helpers::{self, Pty, read_line};
use crate::framework::prelude::*;
use crate::tree::helpers::set_group;

pub const WORKLOAD: Workload = Workload {
    purpose: "a job that was stopped by ^Z, and is continued by its shell",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    let stopped = stage.shared().cell(1);
    let shell = stage.fork("the shell", |stage| {
        helpers::begin_session(&pty.slave)?;
        signal::ignore(libc::SIGTTOU)?;
        let job = fork("the job", || {
            signal::default(libc::SIGTTOU)?;
            expect_eq("line", read_line(&pty.slave)?, "after fg\n")
        })?;
        set_group(job.pid, job.pid)?;
        helpers::set_foreground(&pty.slave, job.pid)?;
        fd::write_all(&pty.master, b"\x1a")?;
        job.wait_stopped()?;
        helpers::set_foreground(&pty.slave, sys::getpid())?;
        stopped.set(1);
        stage.hold();
        expect_eq("line", read_line(&pty.slave)?, "fg\n")?;
        helpers::set_foreground(&pty.slave, job.pid)?;
        job.kill(libc::SIGCONT)?;
        job.join()
    })?;

    cx.ready()?;

    expect_eq("foreground", helpers::foreground(&pty.master)?, shell.pid)?;
    fd::write_all(&pty.master, b"fg\nafter fg\n")?;
    stage.release();
    shell.join()
}
