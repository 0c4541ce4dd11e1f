//! A child has exited; its SIGCHLD is pending and it has not been reaped.

use crate::framework::child;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pending SIGCHLD with the child's status, next to the zombie itself",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[libc::SIGCHLD])?;
    let child = fork("the child", || child::exit_with("the child", Err(Box::new("status 101"))))?;
    // It is a zombie some instructions before it notifies (`exit_notify`, kernel/exit.c).
    sync::wait_until("the child to end", || {
        Ok(procfs::Stat::of(child.pid)?.state == 'Z' && signal::pending()? != 0)
    })?;
    expect_eq("pending", signal::pending()?, signal::bit(libc::SIGCHLD))?;

    cx.ready()?;

    let info = signal::take(&[libc::SIGCHLD])?.context("SIGCHLD is not pending")?;
    let got = (info.code(), info.pid(), info.status());
    expect_eq("code, pid, status", got, (libc::CLD_EXITED, child.pid, 101))?;
    child.join_as(101)
}
