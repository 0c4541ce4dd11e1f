//! A process whose leader has ended is stopped: its parent is told of the stop all the same
//! (kernel/exit.c, `wait_consider_task`).

use super::leaderless::{fork_leaderless, thread_of, verify};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a stop that the parent has not waited for, of a process whose main thread has ended",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = fork_leaderless("process without leader", &stage, || {
        stage.hold();
        verify(&stage)
    })?;
    child.kill(libc::SIGSTOP)?;
    let tid = thread_of(&stage);
    sync::wait_until("the stop", || Ok(procfs::Stat::of(tid)?.state == 'T'))?;

    cx.ready()?;

    expect_eq("state", procfs::Stat::of(tid)?.state, 'T')?;
    let mut status = 0;
    let options = libc::WUNTRACED | libc::WNOHANG;
    // SAFETY: the status lives through the call.
    let got = sys::check("waitpid", unsafe { libc::waitpid(child.pid, &mut status, options) })?;
    expect_eq("child with news", got, child.pid)?;
    expect_eq("signal that stopped it", libc::WSTOPSIG(status), libc::SIGSTOP)?;
    stage.release();
    child.kill(libc::SIGCONT)?;
    child.join()
}
