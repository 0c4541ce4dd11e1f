//! A job in the background wanted to write to a terminal that stops it for that (`TOSTOP`).

use super::helpers::{self, Pty, expect_nothing, expect_read};
use crate::framework::prelude::*;
use crate::tree::helpers::set_group;

pub const WORKLOAD: Workload = Workload {
    purpose: "a job in the background that is stopped for writing to its terminal",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::raw()?);
    helpers::set(&pty.slave, |termios| termios.c_lflag |= libc::TOSTOP)?;
    let shell = stage.fork("the shell", |stage| {
        helpers::begin_session(&pty.slave)?;
        let job = fork("the job", || {
            set_group(0, 0)?;
            fd::write_all(&pty.slave, b"from the background")
        })?;
        job.wait_stopped()?;
        stage.hold();
        expect_eq("state of the job", procfs::Stat::of(job.pid)?.state, 'T')?;
        helpers::set_foreground(&pty.slave, job.pid)?;
        job.kill(libc::SIGCONT)?;
        job.join()
    })?;

    cx.ready()?;

    expect_nothing("output", &pty.master)?;
    stage.release();
    expect_read("output", &pty.master, b"from the background")?;
    shell.join()
}
