//! A process has been stopped by SIGTSTP and its parent has not waited for it yet.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a stop that the parent has not waited for, with the signal that caused it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = stage.fork("the stopped process", |stage| {
        signal::default(libc::SIGTSTP)?;
        // An orphaned group would ignore the stop; a group whose parent is in the same session is
        // not orphaned.
        nix::unistd::setpgid(nix::unistd::Pid::this(), nix::unistd::Pid::from_raw(0))?;
        stage.hold();
        Ok(())
    })?;
    child.kill(libc::SIGTSTP)?;
    child.wait_stopped()?;

    cx.ready()?;

    expect_eq("state", procfs::Stat::of(child.pid)?.state, 'T')?;
    let mut status = 0;
    let options = libc::WUNTRACED | libc::WNOHANG;
    // SAFETY: the status lives through the call.
    let got = sys::check("waitpid", unsafe { libc::waitpid(child.pid, &mut status, options) })?;
    expect_eq("child with news", got, child.pid)?;
    expect_eq("signal that stopped it", libc::WSTOPSIG(status), libc::SIGTSTP)?;
    stage.release();
    child.kill(libc::SIGCONT)?;
    child.join()
}
