//! A session with a controlling terminal, a job in the foreground and one in the background.

use super::helpers::{self, Pty};
use crate::framework::prelude::*;
use crate::tree::helpers::set_group;

pub const WORKLOAD: Workload = Workload {
    purpose: "a session and its controlling terminal: jobs in the foreground and background, /dev/tty",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    let job = stage.shared().cell(1);
    let leader = stage.fork("the leader", |stage| {
        helpers::begin_session(&pty.slave)?;
        let by_name = fd::open("/dev/tty", libc::O_RDWR | libc::O_NOCTTY, 0)?;
        let member = |name| -> anyhow::Result<Child> {
            let child = stage.fork(name, |stage| {
                stage.hold();
                Ok(())
            })?;
            set_group(child.pid, child.pid)?;
            Ok(child)
        };
        let (front, back) = (member("in the foreground")?, member("in the background")?);
        helpers::set_foreground(&by_name, front.pid)?;
        job.set(front.pid.cast_unsigned());
        stage.hold();
        expect_eq("session", helpers::session(&by_name)?, sys::getpid())?;
        expect_eq("foreground", helpers::foreground(&by_name)?, front.pid)?;
        // From the background, with SIGTTOU ignored, as a shell does it.
        signal::ignore(libc::SIGTTOU)?;
        front.join_killed(libc::SIGINT)?;
        helpers::set_foreground(&by_name, sys::getpid())?;
        fd::write_all(&by_name, b"done\n")?;
        back.join()
    })?;
    let front = job.get().cast_signed();

    cx.ready()?;

    pty.expect_numbers()?;
    expect_eq("session", helpers::session(&pty.master)?, leader.pid)?;
    expect_eq("foreground", helpers::foreground(&pty.master)?, front)?;
    for pid in [leader.pid, front] {
        let device = procfs::Stat::of(pid)?.field(7)?;
        expect_eq("controlling terminal", device, (136 << 8) + i64::from(pty.index))?;
    }
    fd::write_all(&pty.master, b"\x03")?;
    sync::wait_until("the job to be killed", || Ok(procfs::Stat::of(front)?.state == 'Z'))?;
    stage.release();
    leader.join()?;
    helpers::expect_read("what is shown", &pty.master, b"^Cdone\r\n")
}
