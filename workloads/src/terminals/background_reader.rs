//! A job in the background wanted to read from the terminal and is stopped for that.

use super::helpers::{self, Pty, read_line};
use crate::framework::prelude::*;
use crate::tree::helpers::set_group;

pub const WORKLOAD: Workload = Workload {
    purpose: "a job in the background that is stopped for reading from its terminal",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    let shell = stage.fork("the shell", |stage| {
        helpers::begin_session(&pty.slave)?;
        let job = fork("the job", || {
            set_group(0, 0)?;
            expect_eq("line", read_line(&pty.slave)?, "for the job\n")
        })?;
        job.wait_stopped()?;
        stage.hold();
        expect_eq("state of the job", procfs::Stat::of(job.pid)?.state, 'T')?;
        helpers::set_foreground(&pty.slave, job.pid)?;
        job.kill(libc::SIGCONT)?;
        job.join()?;
        signal::ignore(libc::SIGTTOU)?;
        helpers::set_foreground(&pty.slave, sys::getpid())?;
        expect_eq("line", read_line(&pty.slave)?, "for the shell\n")
    })?;

    cx.ready()?;

    expect_eq("foreground", helpers::foreground(&pty.master)?, shell.pid)?;
    stage.release();
    fd::write_all(&pty.master, b"for the job\nfor the shell\n")?;
    shell.join()
}
