//! Processes wait for their children, by pid, for any, and for any of a group.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in wait4 and waitid get the right status",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let by_pid = fork("waits by pid", || {
        let bystander = stage.fork("a bystander", |stage| {
            stage.hold();
            helpers::exit(1)
        })?;
        let child = stage.fork("the one waited for", |stage| {
            stage.shared().cell(1).block_until(1);
            helpers::exit(41)
        })?;
        child.join_as(41)?;
        stage.release();
        bystander.join_as(1)
    })?;
    let for_any = fork("waits for any", || {
        let child = stage.fork("the one waited for", |stage| {
            stage.shared().cell(1).block_until(1);
            signal::kill(sys::getpid(), libc::SIGKILL)
        })?;
        let mut status = 0;
        // SAFETY: the status lives through the call.
        let pid = sys::check("waitpid", unsafe { libc::waitpid(-1, &mut status, 0) })?;
        expect_eq("pid and signal", (pid, libc::WTERMSIG(status)), (child.pid, libc::SIGKILL))
    })?;
    let for_group = fork("waits for a group", || {
        let child = stage.fork("the one waited for", |stage| {
            helpers::set_group(0, 0)?;
            stage.shared().cell(1).block_until(1);
            helpers::exit(43)
        })?;
        let found = helpers::waitid(libc::P_PGID, child.pid, libc::WEXITED)?;
        expect_eq("found", found, Some((libc::CLD_EXITED, 43, child.pid)))
    })?;
    stage.wait_in(&by_pid, libc::SYS_wait4)?;
    stage.wait_in(&for_any, libc::SYS_wait4)?;
    stage.wait_in(&for_group, libc::SYS_waitid)?;

    cx.ready()?;

    stage.shared().cell(1).set(1);
    [by_pid, for_any, for_group].into_iter().try_for_each(Child::join)
}
